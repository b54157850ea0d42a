//! HorizontalPodAutoscaler on CPU utilisation.

use super::World;

/// Seconds between two looks.
const EACH: i64 = 60;
/// Differences below this share are left alone.
const TOLERANCE: f64 = 0.1;
/// Seconds before it scales down.
const STABILISES: i64 = 300;

impl World<'_> {
    /// Scales the workloads that have an autoscaler.
    pub(super) fn autoscale(&mut self) {
        let now = self.now;
        for place in 0..self.loads.len() {
            let Some(workload) = self.scene.workloads.get(place) else { continue };
            if workload.hpa_percent.is_none() {
                continue;
            }
            let Some(load) = self.loads.get_mut(place) else { continue };
            if now - load.scaled < EACH {
                continue;
            }
            let (mut used, mut asked) = (0.0, 0.0);
            for pod in load.pods.iter().filter(|pod| pod.available()) {
                for container in pod.lasting() {
                    used += container.cpu;
                    asked += container.asked.cpu.unwrap_or(0) as f64;
                }
            }
            if asked <= 0.0 {
                continue;
            }
            let ratio = used / asked * 100.0 / f64::from(load.hpa.0.max(1));
            if (ratio - 1.0).abs() <= TOLERANCE || ratio < 1.0 && now - load.scaled < STABILISES {
                continue;
            }
            let most = f64::from(workload.hpa_most.max(1));
            let wanted = (f64::from(load.replicas) * ratio).ceil().clamp(1.0, most);
            #[expect(clippy::cast_sign_loss, reason = "it is clamped to what is positive")]
            let wanted = wanted as u32;
            load.scaled = now;
            if wanted != load.replicas {
                let text = format!("the autoscaler changes replicas from {} to {wanted}", load.replicas);
                load.replicas = wanted;
                self.note(place, 0, text);
            }
        }
    }
}
