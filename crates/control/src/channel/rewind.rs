//! Settings that go together badly for those who rewind: what is said of them.

use std::time::Duration;

use super::settings::ChannelConfig;

const DAY: u32 = 24 * 3600 * 1000;

impl ChannelConfig {
    /// What keeps viewers from going back by `dvr_seconds`, with the mend; `kept` is how long recordings are kept after
    /// their end, if they are not kept for ever.
    pub fn rewind_advice(&self, kept: Option<Duration>) -> Option<String> {
        let (depth, default) = (self.dvr_seconds, Self::new(self.name.clone()).dvr_seconds);
        if !self.record {
            // Who left the default has asked for nothing.
            let is_wanted = depth != default && depth > self.window_seconds;
            return is_wanted.then(|| {
                format!(
                    "dvr_seconds is {depth}, but viewers can go back by {} s only (window_seconds): what is older comes from \
                     the recording; set record = true",
                    self.window_seconds
                )
            });
        }
        let kept = u32::try_from(kept?.as_millis()).ok()?;
        (depth.millis() > kept).then(|| {
            format!(
                "dvr_seconds is {depth}, but recordings are deleted {} days after their end, and cannot be rewound to then; \
                 set archive.keep_days to {} or more, or lower dvr_seconds",
                kept / DAY,
                depth.millis().div_ceil(DAY)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChannelName, Seconds};

    #[test]
    fn what_cannot_be_rewound_to_is_said() {
        let of = |record, dvr, days: Option<u64>| {
            let name = ChannelName::new("demo").unwrap();
            let config = ChannelConfig { record, dvr_seconds: Seconds::new(dvr), ..ChannelConfig::new(name) };
            config.rewind_advice(days.map(|d| Duration::from_secs(d * 86_400))).unwrap_or_default()
        };
        assert!(of(true, 14 * 86_400, Some(7)).contains("set archive.keep_days to 14"));
        assert!(of(true, 7 * 86_400 + 1, Some(7)).contains("set archive.keep_days to 8"));
        assert!(of(false, 7200, None).contains("set record = true"));
        for (record, dvr, days) in
            [(true, 7 * 86_400, Some(7)), (true, 14 * 86_400, None), (false, 3600, Some(7)), (false, 60, None)]
        {
            assert_eq!(of(record, dvr, days), "", "{record} {dvr} {days:?}");
        }
    }
}
