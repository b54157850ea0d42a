//! How the webhook's own authority and certificate are renewed, so that at no moment a server shows what no client
//! trusts.
//!
//! Pure. A new authority is first only trusted, beside the one that signs; then it signs, and the old one is still
//! trusted; then the old one goes. Between two steps lies the time in which every replica and every API server has
//! heard of the first.

use super::certificates::{self, CertificateError, Facts, Pair};
use crate::units::Timestamp;

/// How long certificates live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// A server's, in seconds.
    pub leaf: i64,
}

impl Lifetimes {
    /// An authority's, in seconds: two years where a leaf lives for a month.
    #[must_use]
    pub fn authority(self) -> i64 {
        self.leaf.saturating_mul(24)
    }

    /// Between two steps, in seconds.
    #[must_use]
    pub fn settle(self) -> i64 {
        (self.leaf / 20).clamp(3, 60)
    }
}

/// All that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The authority that signs.
    pub signer: Pair,
    /// The one that will, and is trusted already.
    pub next: Option<Pair>,
    /// The certificate of the one that did, and is still trusted.
    pub old: Option<String>,
    /// What servers show.
    pub leaf: Pair,
    /// When the last step was made.
    pub since: Timestamp,
}

impl Kept {
    /// All that is trusted, as PEM.
    #[must_use]
    pub fn trusted(&self) -> String {
        let next = self.next.as_ref().map(|next| &next.certificate);
        let all = [Some(&self.signer.certificate), next, self.old.as_ref()];
        all.into_iter().flatten().map(|pem| format!("{}\n", pem.trim_end())).collect()
    }

    /// Made anew.
    fn new(names: &[String], life: Lifetimes, now: Timestamp) -> Result<Self, CertificateError> {
        let signer = certificates::authority(now, life.authority())?;
        let leaf = certificates::leaf(&signer, names, now, life.leaf)?;
        Ok(Self { signer, next: None, old: None, leaf, since: now })
    }
}

/// What a turn is told.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// Names of the server, sorted.
    pub names: &'a [String],
    /// How long certificates live.
    pub life: Lifetimes,
    /// Somebody wants another authority now.
    pub asked: bool,
    /// All that is kept is known to be trusted by the API server.
    pub registered: bool,
    /// Now.
    pub now: Timestamp,
}

/// The next step, where one is due: what is to be kept from now on.
///
/// # Errors
/// Where a certificate cannot be made.
pub fn turn(kept: Option<&Kept>, turn: &Turn<'_>) -> Result<Option<Kept>, CertificateError> {
    let Turn { names, life, now, .. } = *turn;
    let Some(kept) = kept.filter(|kept| is_usable(kept, now)) else {
        return Kept::new(names, life, now).map(Some);
    };
    let age = now.seconds_since(kept.since);
    // What lies further ahead than clocks differ was written by hand, and would never come.
    let settled = (age >= life.settle() || age < -certificates::SKEW_SECONDS) && turn.registered;
    if kept.old.is_some() {
        if settled {
            return Ok(Some(Kept { old: None, since: now, ..kept.clone() }));
        }
    } else if let Some(next) = &kept.next {
        if settled {
            return Ok(Some(Kept {
                leaf: certificates::leaf(next, names, now, life.leaf)?,
                old: Some(kept.signer.certificate.clone()),
                signer: next.clone(),
                next: None,
                since: now,
            }));
        }
    } else if turn.asked || is_late(&certificates::facts(&kept.signer.certificate)?, now) {
        let next = Some(certificates::authority(now, life.authority())?);
        return Ok(Some(Kept { next, since: now, ..kept.clone() }));
    }
    let leaf = certificates::facts(&kept.leaf.certificate)?;
    if is_late(&leaf, now) || leaf.names != names {
        let leaf = certificates::leaf(&kept.signer, names, now, life.leaf)?;
        return Ok(Some(Kept { leaf, ..kept.clone() }));
    }
    Ok(None)
}

/// Two thirds of its time are over.
fn is_late(facts: &Facts, now: Timestamp) -> bool {
    facts.until.seconds_since(now) <= facts.until.seconds_since(facts.made()) / 3
}

/// What has ended, or cannot be read, is made anew at once: nobody trusts it any more.
fn is_usable(kept: &Kept, now: Timestamp) -> bool {
    let in_time =
        |pem: &str| certificates::facts(pem).is_ok_and(|facts| facts.from <= now && now < facts.until);
    let whole = |pair: &Pair| in_time(&pair.certificate) && certificates::certified(pair).is_ok();
    whole(&kept.signer)
        && kept.next.as_ref().is_none_or(whole)
        && certificates::certified(&kept.leaf).is_ok()
        && certificates::trusts(&kept.trusted(), &kept.leaf.certificate, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    const DAY: i64 = 86_400;
    const LIFE: Lifetimes = Lifetimes { leaf: 30 * DAY };

    fn names() -> Vec<String> {
        vec!["127.0.0.1".to_owned(), "plumb-webhook.plumb.svc".to_owned()]
    }

    fn at(now: Timestamp) -> Turn<'static> {
        let names: &'static [String] = Vec::leak(names());
        Turn { names, life: LIFE, asked: false, registered: true, now }
    }

    fn trusts(pem: &str, leaf: &Pair, now: Timestamp) -> bool {
        certificates::trusts(pem, &leaf.certificate, now)
    }

    #[test]
    fn three_years_without_a_moment_of_distrust() {
        let mut kept = turn(None, &at(NOW)).unwrap().unwrap();
        let (mut authorities, mut leaves) = (1, 1);
        let mut now = NOW;
        let end = NOW.plus(3 * 365 * DAY);
        while now < end {
            now = now.plus(DAY / 4);
            let Some(new) = turn(Some(&kept), &at(now)).unwrap() else { continue };
            // Whoever has heard of this step trusts who has not, and the other way round.
            assert!(trusts(&new.trusted(), &kept.leaf, now) && trusts(&kept.trusted(), &new.leaf, now));
            authorities += usize::from(new.signer != kept.signer);
            leaves += usize::from(new.leaf != kept.leaf);
            kept = new;
        }
        assert_eq!(authorities, 3, "one for each two thirds of two years");
        assert!((50..60).contains(&leaves), "one each twenty days: {leaves}");
        assert!(kept.next.is_none() && kept.old.is_none());
    }

    #[test]
    fn what_has_ended_is_made_anew_at_once() {
        let kept = turn(None, &at(NOW)).unwrap().unwrap();
        let late = NOW.plus(31 * DAY);
        let new = turn(Some(&kept), &at(late)).unwrap().unwrap();
        assert!(trusts(&new.trusted(), &new.leaf, late) && new.signer != kept.signer);
        // Signed by an authority that nobody was told of.
        let other = turn(None, &at(NOW)).unwrap().unwrap();
        let foreign = Kept { leaf: other.leaf, ..kept.clone() };
        let broken =
            Kept { leaf: Pair { key: kept.signer.key.clone(), ..kept.leaf.clone() }, ..kept.clone() };
        assert!(turn(Some(&broken), &at(NOW)).unwrap().is_some());
        assert!(turn(Some(&foreign), &at(NOW)).unwrap().is_some());
    }

    #[test]
    fn no_step_before_the_last_one_is_known_everywhere() {
        let kept = turn(None, &at(NOW)).unwrap().unwrap();
        let asked = Turn { asked: true, ..at(NOW.plus(DAY)) };
        let waiting = turn(Some(&kept), &asked).unwrap().unwrap();
        assert!(waiting.next.is_some() && waiting.leaf == kept.leaf);
        let soon = at(NOW.plus(DAY + LIFE.settle() - 1));
        assert_eq!(turn(Some(&waiting), &soon).unwrap(), None);
        let unknown = Turn { registered: false, ..at(NOW.plus(DAY + 1000)) };
        assert_eq!(turn(Some(&waiting), &unknown).unwrap(), None);
        let signing = turn(Some(&waiting), &at(NOW.plus(DAY + 1000))).unwrap().unwrap();
        assert!(signing.leaf != kept.leaf && signing.old.as_ref() == Some(&kept.signer.certificate));
    }

    /// Else a machine whose clock is late would make an authority that nobody trusts yet, as often as another renews.
    #[test]
    fn a_clock_that_is_half_an_hour_late_leaves_what_others_have_made() {
        let kept = turn(None, &at(NOW)).unwrap().unwrap();
        assert_eq!(turn(Some(&kept), &at(NOW.plus(-1800))).unwrap(), None);
    }

    #[test]
    fn a_step_whose_time_was_written_by_hand_does_not_hold_the_next_one_for_ever() {
        let kept = turn(None, &at(NOW)).unwrap().unwrap();
        let waiting = turn(Some(&kept), &Turn { asked: true, ..at(NOW) }).unwrap().unwrap();
        let ahead = |seconds| Kept { since: NOW.plus(seconds), ..waiting.clone() };
        assert_eq!(turn(Some(&ahead(30)), &at(NOW)).unwrap(), None);
        assert!(turn(Some(&ahead(100 * DAY)), &at(NOW)).unwrap().unwrap().next.is_none());
    }

    #[test]
    fn other_names_need_another_leaf() {
        let kept = turn(None, &at(NOW)).unwrap().unwrap();
        let other = vec!["other.plumb.svc".to_owned()];
        let new = turn(Some(&kept), &Turn { names: &other, ..at(NOW) }).unwrap().unwrap();
        assert_eq!(certificates::facts(&new.leaf.certificate).unwrap().names, other);
        assert_eq!(new.signer, kept.signer);
    }
}
