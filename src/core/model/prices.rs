//! What an objective pays: the prices that the choice between candidates weighs.

/// What a resource's request is chosen by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestPrices {
    /// A unit of usage above the request costs this many units of request unused, for the same time.
    pub underrun: f32,
    /// A change costs this many times what the tuning's hold price says, in reserving for nothing.
    pub change: f32,
}

/// What the memory limit is chosen by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitPrices {
    /// OOM kills a year that are accepted of one container.
    pub kills_per_year: f32,
    /// The limit is at least the highest peak times this.
    pub least_margin: f32,
    /// The limit is at most the highest peak times this, but for what an OOM kill teaches.
    pub most_margin: f32,
    /// Where request and limit are equal: the deviation of the peaks' logarithm up to which the highest counts.
    pub equal_steady: f32,
    /// The margin on that peak.
    pub equal_margin: f32,
    /// The share of what an OOM kill taught that counts there.
    pub equal_lesson: f32,
}

/// All prices of one container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// For the CPU request.
    pub cpu: RequestPrices,
    /// For the memory request.
    pub memory: RequestPrices,
    /// For the memory limit.
    pub limit: LimitPrices,
}
