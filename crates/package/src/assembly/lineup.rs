//! Which tracks of one kind a session has in which segments, as far as that is decided.
//!
//! A change of the ladder is announced before the encoder makes it, for a segment that the encoder may miss. So an
//! announced change is a *plan*: up to its start everything is decided, from there on nothing is. What the encoder says
//! (a rendition started, ended, failed) and what it does (a sample of a rendition that is to leave) tell where the change
//! really lies; then the plan becomes a *span*.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_media::track::{RenditionName, Track};

/// Segments that may wait for a plan to be decided; then it does without what has not come.
pub(super) const MAX_WAITING_SEGMENTS: u64 = 4;
/// Spans kept; samples of older ones do not come any more.
const MAX_SPANS: usize = 8;

/// From this segment on these are the tracks, in the order of the ladder.
#[derive(Clone, Debug)]
struct Span {
    from: u64,
    tracks: Vec<Track>,
}

/// A change that is not decided yet.
#[derive(Clone, Debug)]
struct Plan {
    /// It begins with this segment or a later one.
    start: u64,
    /// The first segment of it, by what the encoder said.
    said: Option<u64>,
    names: Vec<RenditionName>,
    /// Those of `names` whose track is not known.
    awaited: BTreeSet<RenditionName>,
    /// Renditions that end (those with new parameters too) and have not.
    leaving: BTreeSet<RenditionName>,
    tracks: BTreeMap<RenditionName, Track>,
}

/// The tracks of one kind over the segments of a session.
#[derive(Clone, Debug)]
pub(super) struct Lineup {
    spans: VecDeque<Span>,
    plan: Option<Plan>,
    /// A change that was announced before the session began.
    next: Option<Change>,
    /// Renditions of a plan that was replaced; the encoder may make them for a while all the same.
    replaced: BTreeSet<RenditionName>,
}

#[derive(Clone, Debug)]
struct Change {
    start: u64,
    names: Vec<RenditionName>,
    restarting: Vec<RenditionName>,
}

impl Lineup {
    /// A session that is to begin at `first_segment` with these renditions.
    pub(super) fn new(first_segment: u64, names: Vec<RenditionName>) -> Self {
        let awaited = names.iter().cloned().collect();
        let (leaving, tracks) = (BTreeSet::new(), BTreeMap::new());
        let plan = Plan { start: first_segment, said: None, names, awaited, leaving, tracks };
        let mut lineup = Lineup { spans: VecDeque::new(), plan: Some(plan), next: None, replaced: BTreeSet::new() };
        lineup.decide();
        lineup
    }

    /// All segments below this one are decided.
    pub(super) fn decided_before(&self) -> u64 {
        self.plan.as_ref().map_or(u64::MAX, |plan| plan.start)
    }

    /// Whether the session has begun for this kind, if only with the decision that there is nothing of it.
    pub(super) fn has_begun(&self) -> bool {
        !self.spans.is_empty()
    }

    /// First segments of the spans.
    pub(super) fn changes(&self) -> impl Iterator<Item = u64> {
        self.spans.iter().map(|span| span.from)
    }

    /// First segment that has a track.
    pub(super) fn first(&self) -> Option<u64> {
        self.spans.iter().find(|span| !span.tracks.is_empty()).map(|span| span.from)
    }

    /// The session begins here for this kind too.
    pub(super) fn begin_at(&mut self, segment: u64) {
        if let Some(first) = self.spans.front_mut() {
            first.from = segment;
        }
    }

    /// The tracks in this segment.
    pub(super) fn tracks_at(&self, segment: u64) -> &[Track] {
        self.spans.iter().rev().find(|span| span.from <= segment).map_or(&[], |span| &span.tracks)
    }

    /// Whether an announced change is still to be made.
    pub(super) fn is_changing(&self) -> bool {
        self.plan.is_some()
    }

    /// Whether this rendition was ever announced.
    pub(super) fn knows(&self, name: &RenditionName) -> bool {
        self.replaced.contains(name)
            || self.spans.iter().any(|span| span.tracks.iter().any(|t| t.name == *name))
            || self.plan.as_ref().is_some_and(|plan| plan.names.contains(name) || plan.tracks.contains_key(name))
    }

    /// From `start` on the encoder is to make `names`, those in `restarting` with new parameters.
    pub(super) fn change(&mut self, start: u64, names: Vec<RenditionName>, restarting: &[RenditionName]) {
        if !self.has_begun() {
            self.next = Some(Change { start, names, restarting: restarting.to_vec() });
            return;
        }
        // A change that the encoder has begun to make stays; one it has not is replaced.
        if self.plan.as_ref().is_some_and(|plan| plan.said.is_some()) {
            self.give_up();
        }
        if let Some(plan) = self.plan.take() {
            self.replaced.extend(plan.names);
        }
        let now = self.newest();
        let tracks: BTreeMap<RenditionName, Track> = now
            .iter()
            .filter(|t| names.contains(&t.name) && !restarting.contains(&t.name))
            .map(|t| (t.name.clone(), t.clone()))
            .collect();
        let awaited: BTreeSet<RenditionName> = names.iter().filter(|n| !tracks.contains_key(*n)).cloned().collect();
        let leaving = now.iter().map(|t| t.name.clone()).filter(|n| !tracks.contains_key(n)).collect();
        self.plan = Some(Plan { start, said: None, names, awaited, leaving, tracks });
        self.decide();
    }

    /// A rendition's track from segment `from` on. `free` is the first segment of which nothing has gone out.
    pub(super) fn started(&mut self, track: Track, from: u64, free: u64) {
        match &mut self.plan {
            Some(plan) if plan.names.contains(&track.name) => {
                let name = track.name.clone();
                let awaited = plan.awaited.remove(&name);
                if plan.tracks.insert(name, track.clone()) != Some(track) || awaited {
                    plan.note(from);
                }
                self.decide();
            }
            // It is about to leave.
            Some(_) => {}
            None => {
                let mut tracks = self.newest().to_vec();
                match tracks.iter_mut().find(|t| t.name == track.name) {
                    Some(known) if *known == track => return,
                    Some(known) => *known = track,
                    None => tracks.push(track),
                }
                self.push(from.max(free), tracks);
            }
        }
    }

    /// A rendition's last sample was before segment `at`.
    pub(super) fn ended(&mut self, name: &RenditionName, at: u64, free: u64) {
        if self.plan.is_none() && self.newest().iter().any(|t| t.name == *name) {
            // Unannounced: it is expected to start anew.
            let names: Vec<RenditionName> = self.newest().iter().map(|t| t.name.clone()).collect();
            self.change(at.max(free), names, std::slice::from_ref(name));
        }
        let Some(plan) = &mut self.plan else { return };
        if !plan.leaving.remove(name) {
            if plan.tracks.remove(name).is_none() {
                return;
            }
            plan.awaited.insert(name.clone());
        }
        plan.note(at);
        self.decide();
    }

    /// A rendition is not made any more.
    pub(super) fn failed(&mut self, name: &RenditionName, free: u64) {
        if let Some(plan) = &mut self.plan {
            plan.names.retain(|n| n != name);
            plan.awaited.remove(name);
            plan.leaving.remove(name);
            plan.tracks.remove(name);
            if !self.has_begun() {
                return self.decide();
            }
        }
        let left: Vec<Track> = self.newest().iter().filter(|t| t.name != *name).cloned().collect();
        if left.len() < self.newest().len() {
            match &mut self.plan {
                // Until the plan's start it is missed; a period of its own is not worth it.
                Some(_) => {}
                None => self.push(free, left),
            }
        }
        self.decide();
    }

    /// A sample of `name` lies in `segment`: if the rendition is to leave, the change comes later.
    pub(super) fn sample(&mut self, name: &RenditionName, segment: u64) {
        if let Some(plan) = &mut self.plan
            && segment >= plan.start.max(plan.said.unwrap_or(0))
            && plan.leaving.contains(name)
        {
            plan.start = segment + 1;
        }
    }

    /// A sample of `segment` waits: a plan that is undecided for too long does without what has not come.
    pub(super) fn waits(&mut self, segment: u64) {
        if self.plan.as_ref().is_some_and(|plan| segment >= plan.start.saturating_add(MAX_WAITING_SEGMENTS)) {
            self.give_up();
        }
    }

    /// Decides the plan without what has not come.
    pub(super) fn give_up(&mut self) {
        if let Some(plan) = &mut self.plan {
            plan.awaited.clear();
            plan.leaving.clear();
            self.decide();
        }
    }

    fn newest(&self) -> &[Track] {
        self.spans.back().map_or(&[], |span| &span.tracks)
    }

    /// Makes a span of the plan, if everything is known.
    fn decide(&mut self) {
        let known = |plan: &mut Plan| plan.awaited.is_empty() && (plan.said.is_some() || plan.leaving.is_empty());
        let Some(mut plan) = self.plan.take_if(known) else { return };
        let tracks: Vec<Track> = plan.names.iter().filter_map(|name| plan.tracks.remove(name)).collect();
        self.push(plan.start.max(plan.said.unwrap_or(0)), tracks);
        self.replaced.clear();
        if let Some(Change { start, names, restarting }) = self.next.take() {
            self.change(start, names, &restarting);
        }
    }

    fn push(&mut self, from: u64, tracks: Vec<Track>) {
        if self.has_begun() && self.newest() == tracks {
            return;
        }
        self.spans.push_back(Span { from, tracks });
        if self.spans.len() > MAX_SPANS {
            self.spans.pop_front();
        }
    }
}

impl Plan {
    fn note(&mut self, segment: u64) {
        self.said = Some(self.said.map_or(segment, |said| said.min(segment)));
    }
}
