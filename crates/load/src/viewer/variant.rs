//! Which variant a viewer's lanes follow.

use std::time::Duration;

use super::{Abr, Viewer};
use crate::dash::Dash;
use crate::playlist::Playlist;

impl Viewer {
    /// Chooses the variant; changes come between segments.
    pub(super) fn choose(&mut self, now: Duration) {
        let Some(root) = self.root.clone() else { return };
        let bandwidths: Vec<u64> = match &*root {
            Playlist::Multivariant(list) => list.variants.iter().map(|v| v.bandwidth).collect(),
            Playlist::Dash(dash) => dash.bandwidths(),
            Playlist::Media(_) => return,
        };
        let lane = &self.lanes[0];
        if lane.at.is_some_and(|at| at.1 > 0) || !lane.within.is_zero() || lane.align {
            return;
        }
        let wanted = match self.rules.abr {
            Abr::Lowest => 0,
            Abr::Highest => bandwidths.len().saturating_sub(1),
            Abr::On => {
                let hold = match lane.list.as_deref() {
                    Some(Playlist::Media(m)) => m.part_hold_back.or(m.delay).unwrap_or(m.target * 2),
                    _ => Duration::ZERO,
                };
                let buffered = self.playback.buffered(self.lanes());
                self.estimate.choose(now, &bandwidths, self.variant, buffered, hold)
            }
        };
        if self.variant == Some(wanted) {
            return;
        }
        self.variant = Some(wanted);
        match &*root {
            Playlist::Multivariant(list) => {
                let Some(variant) = list.variants.get(wanted) else { return };
                let group = variant.audio.as_ref();
                let sound = list.audio.iter().find(|(g, url)| Some(g) == group && *url != variant.url);
                let sound = sound.map(|a| a.1.clone());
                self.lanes[0].url = Some(variant.url.clone());
                if self.lanes[1].url.is_none() {
                    self.lanes[1].url = sound;
                }
            }
            Playlist::Dash(dash) => {
                self.lanes[0].url = Some(self.url.clone());
                self.lanes[1].url = dash_sound(dash, &self.url);
            }
            Playlist::Media(_) => {}
        }
        self.lanes[0].list = None;
        self.lanes[0].unchanged = false;
        self.lanes[0].align = self.lanes[0].at.is_some();
    }
}

fn dash_sound(dash: &Dash, url: &str) -> Option<String> {
    dash.has_audio().then(|| url.to_owned())
}
