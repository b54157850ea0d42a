use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

fn held_by(holder: &str) -> LeaseSpec {
    LeaseSpec { holder_identity: Some(holder.to_owned()), ..EMPTY.clone() }
}

#[test]
fn a_lease_is_taken_only_when_nobody_holds_it() {
    let long = DURATION;
    assert_eq!(step(None, "me", Duration::ZERO), Step::Create);
    assert_eq!(step(Some(&EMPTY), "me", Duration::ZERO), Step::Take);
    assert_eq!(step(Some(&held_by("")), "me", Duration::ZERO), Step::Take);
    assert_eq!(step(Some(&held_by("me")), "me", long), Step::Renew);
    assert_eq!(step(Some(&held_by("other")), "me", long - RETRY), Step::Wait);
    assert_eq!(step(Some(&held_by("other")), "me", long), Step::Take);
    // A holder that asks for more time has it; nonsense is the default.
    let slow = LeaseSpec { lease_duration_seconds: Some(60), ..held_by("other") };
    assert_eq!(step(Some(&slow), "me", long), Step::Wait);
    let odd = LeaseSpec { lease_duration_seconds: Some(-5), ..held_by("other") };
    assert_eq!(step(Some(&odd), "me", RETRY), Step::Wait);
}

#[test]
fn a_record_counts_who_took_it() {
    let first = record(None, &Step::Create, "me", Timestamp(100));
    assert_eq!((first.lease_transitions, first.acquire_time.is_some()), (Some(1), true));
    let renewed = record(Some(&first), &Step::Renew, "me", Timestamp(200));
    assert_eq!((renewed.lease_transitions, &renewed.acquire_time), (Some(1), &first.acquire_time));
    assert_ne!(renewed.renew_time, first.renew_time);
    assert_eq!(record(Some(&renewed), &Step::Take, "other", Timestamp(300)).lease_transitions, Some(2));
}

/// Numbers that are the same for a seed.
struct Dice(u64);

impl Dice {
    /// Less than `most`, in milliseconds.
    fn roll(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    /// Most answers are quick; some take longer than anybody waits, and so does what the process does between.
    fn delay(&mut self) -> u64 {
        match self.roll(20) {
            0 => self.roll(20_000),
            1 => self.roll(4000),
            _ => self.roll(50),
        }
    }
}

/// What happens at a process, or at the server for it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Begins,
    IsRead,
    HasRead(Option<(String, u32)>),
    IsWritten(u32),
    HasWritten(bool),
}

struct Process {
    elector: Elector,
    /// Thousandths of a second that its clock counts in a second.
    rate: u64,
    begin: Instant,
    asked: Instant,
    name: u32,
}

/// Processes that stand for one lease, on clocks that run apart by two in a hundred.
struct Contest {
    dice: Dice,
    start: Instant,
    processes: Vec<Process>,
    /// The record's holder and its version.
    record: Option<(String, u32)>,
    queue: BinaryHeap<Reverse<(u64, usize, Happens)>>,
    /// Who led, or may have been writing, from when to when, in milliseconds.
    leads: Vec<(u32, u64, u64)>,
}

impl Contest {
    fn new(seed: u64) -> Self {
        let (start, dice) = (Instant::now() + Duration::from_secs(3600), Dice(seed * 2 + 1));
        let mut contest = Self {
            dice,
            start,
            processes: Vec::new(),
            record: None,
            queue: BinaryHeap::new(),
            leads: Vec::new(),
        };
        for place in 0..3 {
            let rate = 990 + contest.dice.roll(21);
            let elector = Elector::new("");
            contest.processes.push(Process { elector, rate, begin: start, asked: start, name: 0 });
            contest.restarts(place, 0);
        }
        contest
    }

    fn local(&self, place: usize, now: u64) -> Instant {
        self.start + Duration::from_micros(now * self.processes[place].rate)
    }

    fn restarts(&mut self, place: usize, now: u64) {
        let name = self.processes[place].name + 3 + u32::try_from(place).unwrap();
        self.processes[place].name = name;
        self.processes[place].elector = Elector::new(&format!("{place}-{name}"));
        let soon = now + self.dice.roll(10_000);
        self.queue.push(Reverse((soon, place, Happens::Begins)));
    }

    fn later(&mut self, now: u64, place: usize, what: Happens) {
        let at = now + self.dice.delay();
        self.queue.push(Reverse((at, place, what)));
    }

    /// As [`Stand::run`] and [`Race::turn`] do it.
    fn happens(&mut self, now: u64, place: usize, what: Happens) {
        let local = self.local(place, now);
        let is_over = |process: &Process| process.elector.until.is_some_and(|until| local >= until);
        let late = local.duration_since(self.processes[place].asked) > ANSWER;
        match what {
            _ if is_over(&self.processes[place]) => self.restarts(place, now),
            Happens::Begins => {
                let process = &mut self.processes[place];
                (process.begin, process.asked) = (local, local);
                self.later(now, place, Happens::IsRead);
            }
            Happens::IsRead => {
                let record = self.record.clone();
                self.later(now, place, Happens::HasRead(record));
            }
            Happens::HasRead(_) | Happens::HasWritten(_) if late => self.rests(now, place),
            Happens::HasRead(found) => {
                let process = &mut self.processes[place];
                let spec = found.as_ref().map(|(holder, version)| (held_by(holder), version.to_string()));
                let known = spec.as_ref().map(|(spec, version)| (spec, version.as_str()));
                if process.elector.read(known, process.begin, local) == Step::Wait {
                    let lost = process.elector.until.is_some();
                    if lost {
                        self.restarts(place, now);
                    } else {
                        self.rests(now, place);
                    }
                    return;
                }
                process.asked = local;
                let version = found.map_or(0, |(_, version)| version);
                self.later(now, place, Happens::IsWritten(version));
            }
            Happens::IsWritten(version) => {
                let fits = self.record.as_ref().map_or(0, |(_, known)| *known) == version;
                if fits {
                    self.record = Some((self.processes[place].elector.identity.clone(), version + 1));
                }
                self.later(now, place, Happens::HasWritten(fits));
            }
            Happens::HasWritten(true) => {
                let process = &mut self.processes[place];
                let until = process.elector.renewed(process.begin) + WRITE;
                let (name, rate) = (process.name, process.rate);
                let end = u64::try_from(until.duration_since(self.start).as_micros()).unwrap() / rate;
                self.leads.push((name * 3 + u32::try_from(place).unwrap(), now, end));
                self.rests(now, place);
            }
            Happens::HasWritten(false) => self.rests(now, place),
        }
    }

    fn rests(&mut self, now: u64, place: usize) {
        let stalls = if self.dice.roll(30) == 0 { self.dice.roll(30_000) } else { 0 };
        self.queue.push(Reverse((now + 2000 + stalls, place, Happens::Begins)));
    }
}

#[test]
fn never_do_two_lead_whatever_takes_how_long() {
    let (mut changes, mut led) = (0, 0);
    for seed in 1..400 {
        let mut contest = Contest::new(seed);
        while let Some(Reverse((now, place, what))) =
            contest.queue.pop().filter(|Reverse((now, ..))| *now < 600_000)
        {
            contest.happens(now, place, what);
        }
        let mut leads = std::mem::take(&mut contest.leads);
        leads.sort_by_key(|(_, from, _)| *from);
        let (mut holder, mut until) = (0, 0);
        for (who, from, to) in leads.into_iter().filter(|(_, from, to)| from < to) {
            assert!(
                who == holder || from >= until,
                "seed {seed}: {who} leads at {from} ms, {holder} until {until} ms"
            );
            changes += u32::from(who != holder);
            (holder, until) = (who, to.max(if who == holder { until } else { 0 }));
            led += 1;
        }
    }
    // They did lead, and the lead did change.
    assert!(changes > 800 && led > 10_000, "{changes} {led}");
}

#[tokio::test]
async fn a_lead_ends_by_itself_and_so_does_what_was_begun_in_it() {
    let (tell, told) = watch::channel(Leadership::Following(None));
    let lead = Lead(told);
    assert!(!lead.holds() && lead.hold(async {}).await.is_none());
    let soon = Instant::now() + Duration::from_millis(100);
    say(&tell, Leadership::Leading(soon));
    assert!(lead.holds() && lead.hold(async { 1 }).await == Some(1));
    // Nobody says anything any more.
    tokio::time::sleep_until(soon).await;
    assert!(!lead.holds() && lead.hold(async {}).await.is_none());
    say(&tell, Leadership::Leading(Instant::now() + Duration::from_secs(1)));
    assert!(lead.holds());
    say(&tell, Leadership::Lost);
    say(&tell, Leadership::Leading(Instant::now() + Duration::from_secs(1)));
    assert!(!lead.holds());
}
