//! LimitRange: what a namespace allows a container, and all containers of a pod together.

use super::bound::Bound;
use super::namespace::{Limits, Line, Range, share, sum};

/// Moves request and limit of each container, and then of the pod, into the ranges. What the ranges forbid together is
/// left for [`check`].
pub(super) fn fit(lines: &mut [Line], limits: &Limits) {
    lines.iter_mut().for_each(|line| container(line, &limits.container));
    pod(lines, &limits.pod);
}

fn container(line: &mut Line, range: &Range) {
    if let Some(least) = range.least {
        if let Some(limit) = line.limit.filter(|limit| *limit < least) {
            line.set_limit(limit.max(least), Bound::LimitRangeMin);
        }
        if line.request.is_some_and(|request| request < least) {
            line.set_request(least, Bound::LimitRangeMin);
        }
    }
    if let Some(most) = range.most {
        if line.request.is_some_and(|request| request > most) {
            line.set_request(most, Bound::LimitRangeMax);
        }
        if line.limit.is_some_and(|limit| limit > most) {
            line.set_limit(most, Bound::LimitRangeMax);
        }
    }
    ratio(line, range);
}

/// A limit too far above its request draws the request up, as to lower the limit could kill; only where the request may
/// not go so far the limit comes down.
pub(super) fn ratio(line: &mut Line, range: &Range) {
    let (Some(ratio), Some(request), Some(limit)) = (range.ratio, line.request, line.limit) else { return };
    if !is_far(request, limit, ratio) {
        return;
    }
    let raised = share(limit, 1000, ratio, true).min(limit).min(line.most.unwrap_or(u64::MAX)).max(request);
    line.set_request(raised, Bound::LimitRangeRatio);
    if is_far(raised, limit, ratio) {
        line.set_limit(share(raised, ratio, 1000, false).max(raised), Bound::LimitRangeRatio);
    }
}

fn is_far(request: u64, limit: u64, ratio: u64) -> bool {
    u128::from(limit) * 1000 > u128::from(request) * u128::from(ratio)
}

fn pod(lines: &mut [Line], range: &Range) {
    let requests = |lines: &[Line]| sum(lines, |line| line.request);
    let limits = |lines: &[Line]| sum(lines, |line| line.limit);
    if let Some(least) = range.least {
        let (all, low) = (requests(lines), Bound::LimitRangePodMin);
        if all < least {
            for line in lines.iter_mut() {
                let raised = line.request.map(|request| share(request, least, all, true));
                line.set_request(raised.unwrap_or(0), low);
            }
        }
        let all = limits(lines);
        if all < least {
            for line in lines.iter_mut() {
                line.set_limit(line.limit.map_or(0, |limit| share(limit, least, all, true)), low);
            }
        }
    }
    if let Some(most) = range.most {
        let all = requests(lines);
        if all > most {
            for line in lines.iter_mut() {
                let lowered = line.request.map(|request| share(request, most, all, false));
                line.set_request(lowered.unwrap_or(0), Bound::LimitRangePod);
            }
        }
        lower_limits(lines, most);
    }
    let (Some(ratio), all) = (range.ratio, limits(lines)) else { return };
    let (has, needs) = (requests(lines), share(all, 1000, ratio, true));
    let above = sum(lines, |line| Some(line.above()));
    if has < needs && above > 0 {
        for line in lines.iter_mut() {
            let (request, more) = (line.request.unwrap_or(0), share(line.above(), needs - has, above, true));
            line.set_request(request.saturating_add(more.min(line.above())), Bound::LimitRangeRatio);
        }
    }
}

/// Lowers limits by shares of what they are above their requests, until their sum is no more than that.
fn lower_limits(lines: &mut [Line], most: u64) {
    let all = sum(lines, |line| line.limit);
    let above = sum(lines, |line| line.limit.map(|_| line.above()));
    if all <= most || above == 0 {
        return;
    }
    let keeps = above.saturating_sub(all - most);
    for line in lines {
        if let Some(limit) = line.limit {
            let lowered = (limit - line.above()).saturating_add(share(line.above(), keeps, above, false));
            line.set_limit(lowered, Bound::LimitRangePod);
        }
    }
}

/// Leaves all as it is where the ranges would refuse what was found. (limitranger's minConstraint, maxConstraint and
/// limitRequestRatioConstraint.)
pub(super) fn check(lines: &mut [Line], limits: &Limits) {
    let is_refused = |range: &Range, request: Option<u64>, limit: Option<u64>| {
        let mut either = request.into_iter().chain(limit);
        let outside = |value: u64| {
            range.least.is_some_and(|least| value < least) || range.most.is_some_and(|most| value > most)
        };
        let far = |ratio: u64| matches!((request, limit), (Some(r), Some(l)) if is_far(r, l, ratio));
        either.any(outside) || range.ratio.is_some_and(far)
    };
    let crossed =
        |line: &Line| matches!((line.request, line.limit), (Some(request), Some(limit)) if limit < request);
    let total = |of: fn(&Line) -> Option<u64>| Some(sum(lines, of)).filter(|sum| *sum > 0);
    let pod = is_refused(&limits.pod, total(|line| line.request), total(|line| line.limit));
    let refused = |line: &Line| crossed(line) || is_refused(&limits.container, line.request, line.limit);
    if pod || lines.iter().any(refused) {
        lines.iter_mut().for_each(|line| line.stay(Bound::LimitRangePod));
    }
}
