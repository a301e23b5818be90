//! Readings in Prometheus' text format, for the textfile directory of a node exporter.

use super::attribution::Attributed;
use super::readings::{DAY_SECONDS, ReadingLog, Trend, bytes_per_day};
use crate::probe::ftrace::Survived;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines of the kernel's source that are told.
const MOST_LINES: usize = 10;

/// Returns all metrics of the last reading, and of the trace beside it. Each says which mount is watched: the files of several monitors stand side by side, and a node
/// exporter refuses two of one name that differ in nothing.
pub fn text(watched: &ReadingLog, trends: &[Trend], attributed: Option<&Attributed>) -> String {
    let mut metrics = Metrics { text: String::new(), mount: watched.mount().point.clone() };
    let last = watched.last();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    metrics.one("last_reading_timestamp_seconds", "gauge", "When the counters were read.", now);
    metrics.one("watched_seconds", "gauge", "How long growth has been watched.", last.seconds);
    let calls = "READDIR and READDIRPLUS calls of the mount.";
    metrics.one("readdir_calls_total", "counter", calls, last.readdirs as f64);
    metrics.one(
        "unreclaimable_slab_bytes",
        "gauge",
        "Slab memory that the kernel cannot give back.",
        last.unreclaimable_kib as f64 * 1024.0,
    );
    let objects = |trend: &Trend| last.sample.objects.get(&trend.name).copied().unwrap_or(0) as f64;
    metrics.each("objects", "Objects in a cache or counter.", trends, |trend| Some(objects(trend)));
    if watched.is_long_enough() {
        metrics.pace(watched, trends);
    }
    for (name, help, bound) in [
        ("growth_objects_per_readdir", "Growth that follows READDIR calls.", 0),
        ("growth_objects_per_readdir_low", "Its lower bound.", 1),
        ("growth_objects_per_readdir_high", "Its upper bound.", 2),
    ] {
        metrics.each(name, help, trends, |trend| trend.per_readdir.map(|fit| [fit.estimate, fit.low, fit.high][bound]));
    }
    metrics.source_lines(watched);
    if let Some(attributed) = attributed {
        metrics.attributed(attributed);
    }
    metrics.text
}

struct Metrics {
    text: String,
    /// Where what is watched is mounted.
    mount: String,
}

impl Metrics {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP dirleak_{name} {help}\n# TYPE dirleak_{name} {kind}");
        self.text += &format!("dirleak_{name}");
    }

    /// Writes the value of the metric that was begun, with further labels.
    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: String = labels.iter().map(|(name, value)| format!(",{name}=\"{}\"", escaped(value))).collect();
        let value = if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() };
        let _ = writeln!(self.text, "{{mount=\"{}\"{labels}}} {value}", escaped(&self.mount));
    }

    /// Writes by how much lines of the kernel's source grew, where the kernel counts that.
    fn source_lines(&mut self, watched: &ReadingLog) {
        let lines = watched.source_lines().iter().take(MOST_LINES);
        let help = "What a line of the kernel's source has allocated and not freed since watching began.";
        self.all("source_line_grown_bytes", help, lines, |line, told| {
            let place = format!("{}:{}", line.file, line.line);
            told(&[("line", &place), ("function", &line.function)], line.bytes as f64);
        });
    }

    /// Writes whose objects stay, and what it costs to know.
    fn attributed(&mut self, told: &Attributed) {
        self.one("trace_seconds", "gauge", "For how long all frees of objects were seen.", told.traced_seconds);
        self.one("trace_one_in_addresses", "gauge", "Of how many addresses one is traced.", told.one_in as f64);
        self.one("trace_lost_events_total", "counter", "Events that the trace has lost.", told.lost_events as f64);
        let help = "What reading the trace has taken of a processor.";
        self.one("trace_processor_seconds_total", "counter", help, told.processor_seconds);
        for (name, help, value) in [
            (
                "kept_objects",
                "Objects that a function has allocated and that stay.",
                (|s| s.objects as f64) as fn(&Survived) -> f64,
            ),
            ("kept_bytes", "The same in bytes.", |s| s.bytes() as f64),
            ("kept_oldest_seconds", "Age of the oldest of them.", |s| s.oldest_seconds),
            ("kept_objects_per_day", "How many more stay in a day.", |s| s.per_second * DAY_SECONDS),
            ("kept_bytes_per_day", "The same in bytes.", |s| s.per_second * DAY_SECONDS * s.site.slot_bytes as f64),
        ] {
            self.all(name, help, told.stay.iter(), |one, told| {
                let counter = one.site.counter.as_deref().unwrap_or_default();
                let bytes = one.site.slot_bytes.to_string();
                told(&[("function", &one.site.function), ("counter", counter), ("slot_bytes", &bytes)], value(one));
            });
        }
    }

    /// Writes a gauge of each of several things, as `tell` gives labels and value of it.
    fn all<T>(
        &mut self,
        name: &str,
        help: &str,
        things: impl Iterator<Item = T>,
        tell: impl Fn(T, &mut dyn FnMut(&[(&str, &str)], f64)),
    ) {
        for (number, thing) in things.enumerate() {
            match number {
                0 => self.begin(name, "gauge", help),
                _ => self.text += &format!("dirleak_{name}"),
            }
            tell(thing, &mut |labels, value| self.value(labels, value));
        }
    }

    /// Writes what is foretold of the time watched.
    fn pace(&mut self, watched: &ReadingLog, trends: &[Trend]) {
        let left = watched.seconds_left().unwrap_or(f64::INFINITY);
        self.one("memory_exhausted_in_seconds", "gauge", "When available memory will be used up by it.", left);
        self.each("growth_objects_per_day", "Growth at the pace of the time watched.", trends, |trend| {
            Some(trend.per_second * DAY_SECONDS)
        });
        self.each("growth_bytes_per_day", "The same in bytes.", trends, |trend| {
            (trend.object_bytes > 0).then(|| bytes_per_day(trend))
        });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.begin(name, kind, help);
        self.value(&[], value);
    }

    /// Writes a gauge of each counter that has one.
    fn each(&mut self, name: &str, help: &str, trends: &[Trend], of: impl Fn(&Trend) -> Option<f64>) {
        let values = trends.iter().filter_map(|trend| Some((trend.name.as_str(), of(trend)?)));
        self.all(name, help, values, |(counter, value), told| told(&[("counter", counter)], value));
    }
}

/// Returns a label's value, as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ftrace::SurvivorSite;

    #[test]
    fn metric_has_its_help_and_type_once_and_labels_are_escaped() {
        let mut metrics = Metrics { text: String::new(), mount: "/srv/a b".into() };
        let trend =
            |name: &str, grown| Trend { name: name.into(), grown, object_bytes: 8, per_second: 0.5, per_readdir: None };
        metrics.each("objects", "Objects.", &[trend("a\"b\\", 1), trend("c", 2)], |trend| Some(trend.grown as f64));
        metrics.one("left", "gauge", "Left.", f64::INFINITY);
        let expected = "# HELP dirleak_objects Objects.\n# TYPE dirleak_objects gauge\n\
            dirleak_objects{mount=\"/srv/a b\",counter=\"a\\\"b\\\\\"} 1\ndirleak_objects{mount=\"/srv/a b\",counter=\"c\"} 2\n\
            # HELP dirleak_left Left.\n# TYPE dirleak_left gauge\ndirleak_left{mount=\"/srv/a b\"} +Inf\n";
        assert_eq!(metrics.text, expected);
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_are_documented() {
        let documented = include_str!("../../docs/host.md");
        for text in [
            include_str!("../../contrib/prometheus/dirleak.rules.yml"),
            include_str!("../../contrib/prometheus/tests.yml"),
            include_str!("../../contrib/grafana/dirleak.json"),
        ] {
            let asked: Vec<&str> = text
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .filter_map(|word| word.strip_prefix("dirleak_"))
                .collect();
            assert!(!asked.is_empty());
            for name in asked {
                let name = name.trim_end_matches("_low").trim_end_matches("_high");
                assert!(documented.contains(&format!("`{name}")), "{name}");
            }
        }
    }

    #[test]
    fn functions_whose_objects_stay_have_metrics_of_their_own() {
        let site = SurvivorSite { function: "nfs_mount".into(), counter: Some("kmalloc-16".into()), slot_bytes: 16 };
        let leak = Survived { site, objects: 500, oldest_seconds: 60.0, per_second: 10.0, parts: [100; 3] };
        let log = ReadingLog::made_up(3, 2);
        let attributed = Attributed { stay: vec![leak], lost_events: 3, one_in: 4, ..Attributed::default() };
        let told = text(&log, &log.trends(), Some(&attributed));
        let labels = "{mount=\"/mnt\",function=\"nfs_mount\",counter=\"kmalloc-16\",slot_bytes=\"16\"}";
        for line in [
            format!("dirleak_kept_objects{labels} 500\n"),
            format!("dirleak_kept_bytes{labels} 8000\n"),
            format!("dirleak_kept_oldest_seconds{labels} 60\n"),
            format!("dirleak_kept_objects_per_day{labels} 864000\n"),
            format!("dirleak_kept_bytes_per_day{labels} 13824000\n"),
            "# TYPE dirleak_trace_lost_events_total counter\ndirleak_trace_lost_events_total{mount=\"/mnt\"} 3\n"
                .into(),
            "dirleak_trace_one_in_addresses{mount=\"/mnt\"} 4\n".into(),
        ] {
            assert!(told.contains(&line), "{line} is not in {told}");
        }
        assert!(!text(&log, &log.trends(), None).contains("dirleak_trace_"), "nobody asked");
    }

    #[test]
    fn metrics_are_those_of_the_last_reading() {
        let log = ReadingLog::made_up(20, 2);
        let told = text(&log, &log.trends(), None);
        for line in [
            "dirleak_watched_seconds{mount=\"/mnt\"} 200\n",
            "dirleak_readdir_calls_total{mount=\"/mnt\"} 833\n",
            "dirleak_unreclaimable_slab_bytes{mount=\"/mnt\"} 51609600\n",
            "dirleak_objects{mount=\"/mnt\",counter=\"kmalloc-256\"} 1666\n",
            "dirleak_objects{mount=\"/mnt\",counter=\"filp\"} 900\n",
            "dirleak_memory_exhausted_in_seconds{mount=\"/mnt\"} 36000\n",
            "dirleak_growth_objects_per_day{mount=\"/mnt\",counter=\"filp\"} 0\n",
            "dirleak_growth_objects_per_readdir{mount=\"/mnt\",counter=\"kmalloc-256\"} 2\n",
            "dirleak_growth_objects_per_readdir_low{mount=\"/mnt\",counter=\"kmalloc-256\"} 2\n",
            "dirleak_growth_objects_per_readdir_high{mount=\"/mnt\",counter=\"kmalloc-256\"} 2\n",
        ] {
            assert!(told.contains(line), "{line} is not in {told}");
        }
        let value = |name: &str| -> f64 {
            let begin = format!("dirleak_{name}{{mount=\"/mnt\",counter=\"kmalloc-256\"}} ");
            told.lines().find_map(|line| line.strip_prefix(&begin)).unwrap().parse().unwrap()
        };
        let objects = value("growth_objects_per_day");
        assert!(
            (250_000.0..350_000.0).contains(&objects) && value("growth_bytes_per_day") == 256.0 * objects,
            "{told}"
        );
        assert!(
            !told.contains("dirleak_growth_bytes_per_day{mount=\"/mnt\",counter=\"filp\"}"),
            "its bytes are not known"
        );
        let short = ReadingLog::made_up(3, 2);
        let told = text(&short, &short.trends(), None);
        assert!(!told.contains("memory_exhausted") && !told.contains("growth_"), "{told}");
    }
}
