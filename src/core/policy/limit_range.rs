//! LimitRange: what a namespace allows one container.

use super::bound::{Amounts, Bound, Explained, set};
use super::reason::Resource;
use crate::units::Bytes;

/// Moves a container's figures into a LimitRange: no request below its least, nothing above its most, and no limit
/// below its request. What the LimitRange forbids the API server would refuse, also what is set later: its most bounds
/// that as well.
pub fn limit_range(found: &mut Explained, least: &Amounts, most: &Amounts) {
    found.size.most = found.size.most.least(&most.whole());
    let cpu = [Resource::Cpu, Resource::CpuLimit];
    fit(found, cpu, least.cpu.map(|cpu| cpu.0), most.cpu.map(|cpu| cpu.0));
    let memory = [Resource::Memory, Resource::MemoryLimit];
    fit(found, memory, least.memory.map(Bytes::as_f64), most.memory.map(Bytes::as_f64));
}

fn fit(found: &mut Explained, [request, limit]: [Resource; 2], least: Option<f64>, most: Option<f64>) {
    let figures = |found: &Explained| {
        let target = &found.size.target;
        match request {
            Resource::Cpu => (target.cpu_request.map(|c| c.0), target.cpu_limit.map(|c| c.0)),
            _ => (target.memory_request.map(Bytes::as_f64), target.memory_limit.map(Bytes::as_f64)),
        }
    };
    for resource in [request, limit] {
        let now = |found: &Explained| {
            let (request_now, limit_now) = figures(found);
            if resource == request { request_now } else { limit_now }
        };
        if let (Some(value), Some(least)) = (now(found), least)
            && value < least
        {
            set(found, resource, least, Bound::LimitRangeMin);
        }
        if let (Some(value), Some(most)) = (now(found), most)
            && value > most
        {
            set(found, resource, most, Bound::LimitRangeMax);
        }
    }
    // A least for requests can be above the limit.
    if let (Some(value), Some(ceiling)) = figures(found)
        && ceiling < value
    {
        set(found, limit, value, Bound::LimitRangeMin);
    }
}
