//! ResourceQuota: what a namespace has left for growth.

use super::bound::Bound;
use super::limit_range;
use super::namespace::{Limits, Line, share};

/// Lowers the growth of a pod's containers, in the same proportion, to what the quotas leave each replica. What shrinks
/// makes room for what grows.
pub(super) fn fit(lines: &mut [Line], limits: &Limits) {
    let [requests, of_limits] = limits.left;
    if let Some(left) = requests {
        hold(lines, left, 0, |line| line.request, Line::set_request);
    }
    if let Some(left) = of_limits {
        hold(lines, left, 1, |line| line.limit, Line::set_limit);
    }
    // A request that was lowered may have left its limit too far above.
    for line in lines {
        line.most = line.request;
        limit_range::ratio(line, &limits.container);
    }
}

fn hold(
    lines: &mut [Line],
    left: u64,
    figure: usize,
    of: fn(&Line) -> Option<u64>,
    set: fn(&mut Line, u64, Bound),
) {
    let (mut growth, mut shrink) = (0_u64, 0_u64);
    for line in lines.iter() {
        let (wanted, now) = (of(line).unwrap_or(0), line.now(figure));
        growth = growth.saturating_add(wanted.saturating_sub(now));
        shrink = shrink.saturating_add(now.saturating_sub(wanted));
    }
    let room = left.saturating_add(shrink);
    if growth <= room {
        return;
    }
    for line in lines {
        let now = line.now(figure);
        if let Some(wanted) = of(line).filter(|wanted| *wanted > now) {
            set(line, now + share(wanted - now, room, growth, false), Bound::Quota);
        }
    }
}
