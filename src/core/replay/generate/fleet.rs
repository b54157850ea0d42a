//! The fleet: which containers there are, and what their owners asked for.

use super::Spec;
use super::shapes::Shape::{Batch, Caching, Daily, Growing, Idle, Jvm, Leaking, Restarting, Shift, Spiky};

/// Requests are mostly two to five times too large, as they are in clusters, and here and there too small.
pub(super) const SPECS: [Spec; 24] = [
    Spec { name: "deployment-web", shape: Daily, cpu: 0.42, memory: 340.0, request: (1000, 1024) },
    Spec { name: "deployment-api", shape: Daily, cpu: 0.85, memory: 610.0, request: (2000, 2048) },
    Spec { name: "deployment-checkout", shape: Daily, cpu: 0.16, memory: 260.0, request: (500, 512) },
    Spec { name: "deployment-frontend", shape: Daily, cpu: 0.11, memory: 180.0, request: (500, 512) },
    Spec { name: "deployment-auth", shape: Daily, cpu: 0.24, memory: 150.0, request: (250, 256) },
    Spec { name: "cronjob-report", shape: Batch, cpu: 1.6, memory: 2900.0, request: (2000, 4096) },
    Spec { name: "cronjob-backup", shape: Batch, cpu: 0.7, memory: 420.0, request: (1000, 1024) },
    Spec { name: "deployment-etl", shape: Batch, cpu: 2.3, memory: 3600.0, request: (4000, 8192) },
    Spec { name: "deployment-thumbs", shape: Spiky, cpu: 0.9, memory: 700.0, request: (1000, 1024) },
    Spec { name: "deployment-mailer", shape: Spiky, cpu: 0.3, memory: 230.0, request: (500, 512) },
    Spec { name: "deployment-webhooks", shape: Spiky, cpu: 0.45, memory: 310.0, request: (250, 512) },
    Spec { name: "deployment-leak", shape: Leaking, cpu: 0.12, memory: 520.0, request: (100, 512) },
    Spec { name: "deployment-chat", shape: Leaking, cpu: 0.3, memory: 1500.0, request: (1000, 2048) },
    Spec { name: "statefulset-orders", shape: Jvm, cpu: 0.55, memory: 2450.0, request: (2000, 4096) },
    Spec { name: "deployment-billing", shape: Jvm, cpu: 0.18, memory: 1150.0, request: (1000, 2048) },
    Spec { name: "statefulset-search", shape: Jvm, cpu: 1.1, memory: 3700.0, request: (2000, 8192) },
    Spec { name: "deployment-admin", shape: Idle, cpu: 0.006, memory: 95.0, request: (250, 512) },
    Spec { name: "deployment-docs", shape: Idle, cpu: 0.003, memory: 42.0, request: (100, 128) },
    Spec { name: "statefulset-metrics", shape: Growing, cpu: 0.5, memory: 1900.0, request: (1000, 3072) },
    Spec { name: "deployment-uploads", shape: Growing, cpu: 0.2, memory: 610.0, request: (500, 1024) },
    Spec { name: "deployment-ingest", shape: Restarting, cpu: 0.4, memory: 640.0, request: (1000, 1024) },
    Spec { name: "statefulset-cache", shape: Caching, cpu: 0.14, memory: 3050.0, request: (500, 4096) },
    Spec { name: "deployment-proxy", shape: Caching, cpu: 0.3, memory: 370.0, request: (1000, 1024) },
    Spec { name: "deployment-pricing", shape: Shift, cpu: 0.35, memory: 480.0, request: (1000, 1024) },
];
