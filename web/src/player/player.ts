// The player: one channel in one element. It joins the channel's status, the media and the controls, and
// holds no rule of its own about what is shown when (session.ts) or how a source is tried again (source.ts).

import "./player.css";
import { latency, ServerClock } from "./clock";
import { Controls, type Facts } from "./controls";
import { Cover } from "./cover";
import { el, setAttribute } from "./dom";
import type { Play } from "./engine";
import type { PlayerFigures } from "./figures";
import { levelNames } from "./format";
import { Freeze } from "./freeze";
import { makeHelp } from "./help";
import { type Command, command } from "./keyboard";
import { makeEngine } from "./make-engine";
import { RecordingPoller } from "./recording";
import { listStart, Rewind } from "./rewind";
import { toggleFullscreen, togglePip } from "./screen";
import { Scrubber } from "./scrubber";
import {
  attached,
  type Media,
  newSession,
  reload,
  type Session,
  stateOf,
  step,
  type View,
  view,
} from "./session";
import { Sound } from "./sound";
import { Source } from "./source";
import { type StatusAnswer, StatusPoller } from "./status";
import { Storyboard } from "./storyboard";
import { Timeline } from "./timeline";
import { card, RECONNECTING_NOTICE } from "./words";

export { exposeFigures, type PlayerFigures } from "./figures";

export interface PlayerOptions {
  channel: string;
  /** A recording is played instead of a channel. */
  asset?: string;
  /** Play by itself when the channel is on the air. Without it the media is not even asked for before a click. */
  autoplay: boolean;
  /** Begin without sound; otherwise as the viewer left it, and without sound only where the browser insists. */
  muted: boolean;
  /** Whose keys are commands: the whole page's, the focused player's, or nobody's. */
  keys: "page" | "focused" | "none";
  /** Told when what is shown changes, and the channel's title with it. */
  onChange?: (view: View, title: string) => void;
}

const TICK_MS = 500;
const HIDE_CONTROLS_MS = 3000;
const SKIP_SECONDS = 5;
/** An ended source is asked again no more often than this. */
const RELOAD_MS = 1500;

export class Player {
  readonly video = el("video", {
    playsinline: true,
    preload: "auto",
    disableremoteplayback: true,
    tabindex: -1,
  });
  private readonly root: HTMLElement;
  private readonly cover: Cover;
  private readonly sound: Sound;
  private readonly help: HTMLDialogElement;
  private readonly controls: Controls;
  private readonly scrubber: Scrubber;
  private readonly storyboard: Storyboard;
  private readonly recorded: boolean;
  private readonly source: Source;
  private readonly timeline: Timeline;
  /** `null` for a recording. */
  private readonly rewind: Rewind | null;
  private readonly freeze = new Freeze();
  private readonly poller: StatusPoller | RecordingPoller;
  private readonly clock = new ServerClock();
  private readonly ticker: ReturnType<typeof setInterval>;
  private readonly listeners = new AbortController();
  private session: Session = newSession(performance.now());
  private shownKey = "";
  private reloadedAt = Number.NEGATIVE_INFINITY;
  /** The viewer asked for the media, by autoplay or by a click. */
  private wanted: boolean;
  private hideTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    container: HTMLElement,
    private readonly options: PlayerOptions,
  ) {
    this.wanted = options.autoplay;
    const { signal } = this.listeners;
    this.sound = new Sound(this.video, options.muted);
    this.cover = new Cover(
      () => this.togglePlay(),
      () => this.sound.setMuted(false),
    );
    this.help = makeHelp();
    this.recorded = options.asset !== undefined;
    const base =
      options.asset !== undefined ? `/vod/${options.asset}` : `/live/${encodeURIComponent(options.channel)}`;
    this.rewind = this.recorded ? null : new Rewind(`${base}/rewind.json`, () => this.render());
    this.timeline = new Timeline({
      video: this.video,
      clock: this.clock,
      rewind: this.rewind,
      engine: () => this.source.current(),
      move: (playing) => {
        this.freeze.take(this.video);
        this.source.move(playing);
      },
    });
    this.scrubber = new Scrubber({
      seek: (position) => this.seek(position),
      tile: (position) => {
        const date = this.timeline.dateAt(position);
        return date === null ? null : this.storyboard.at(date);
      },
      label: (position) => this.timeline.label(position),
      timeOfDay: (position) => this.timeline.timeOfDay(position),
    });
    this.storyboard = new Storyboard(`${base}/storyboard.m3u8`, !this.recorded, () =>
      this.scrubber.refresh(),
    );
    this.controls = new Controls(
      {
        togglePlay: () => this.togglePlay(),
        toggleMute: () => this.sound.setMuted(!this.video.muted),
        setVolume: (level) => this.sound.setVolume(level),
        goLive: () => this.goLive(),
        toggleCaptions: () => this.toggleCaptions(),
        selectLevel: (index) => {
          this.source.current()?.select(index);
          this.render();
        },
        togglePip: () => void togglePip(this.video),
        toggleFullscreen: () => this.toggleFullscreen(),
      },
      this.scrubber.root,
    );
    this.root = el(
      "div",
      { class: "player", role: "region", "aria-label": `Player: ${options.channel}`, tabindex: -1 },
      this.video,
      this.freeze.root,
      ...this.cover.parts(),
      this.controls.root,
      this.controls.menu,
      this.help,
    );
    container.replaceChildren(this.root);

    this.source = new Source(
      this.video,
      (events) => {
        const play = this.what();
        const list = play.kind === "past" ? "index.m3u8?dvr" : "index.m3u8";
        return makeEngine(this.video, `${base}/${list}`, events, play);
      },
      () => void this.play(),
      {
        media: (media) => this.onMedia(media),
        changed: () => this.render(),
      },
    );
    this.source.repeats = this.recorded;
    const onAnswer = (answer: StatusAnswer) => this.onEvent({ kind: "answer", answer });
    this.poller =
      options.asset !== undefined
        ? new RecordingPoller(options.asset, onAnswer)
        : new StatusPoller(`${base}/status.json`, onAnswer);
    this.ticker = setInterval(() => this.tick(), TICK_MS);

    for (const name of [
      "volumechange",
      "enterpictureinpicture",
      "leavepictureinpicture",
      "playing",
      "pause",
    ]) {
      this.video.addEventListener(name, () => this.render(), { signal });
    }
    this.video.textTracks.addEventListener("addtrack", () => this.render(), { signal });
    this.video.addEventListener("click", () => this.onVideoClick(), { signal });
    this.video.addEventListener("dblclick", () => this.toggleFullscreen(), { signal });
    document.addEventListener("fullscreenchange", () => this.render(), { signal });
    for (const name of ["pointermove", "pointerdown", "focusin", "keydown"]) {
      this.root.addEventListener(name, () => this.wake(), { signal });
    }
    this.root.addEventListener("pointerleave", () => this.sleepSoon(600), { signal });
    if (options.keys !== "none") {
      const target = options.keys === "page" ? document : this.root;
      target.addEventListener("keydown", (event) => this.onKey(event as KeyboardEvent), { signal });
    }
    this.render();
    this.wake();
  }

  destroy(): void {
    clearInterval(this.ticker);
    clearTimeout(this.hideTimer);
    this.listeners.abort();
    this.poller.close();
    this.source.destroy();
    this.controls.destroy();
    this.clock.close();
    this.root.remove();
  }

  /** When the media at a position was made, ms since 1970; `null` if unknown. */
  dateAt(position: number): number | null {
    return this.source.current()?.dateAt(position) ?? null;
  }

  figures(): PlayerFigures {
    const engine = this.source.current();
    const levels = engine?.levels() ?? [];
    const names = levelNames(levels);
    return {
      state: view(this.session, performance.now()),
      serverState: stateOf(this.session),
      media: this.source.media,
      past: this.rewind !== null && this.rewind.past !== null,
      latency: this.latency(),
      stalls: this.source.meter.stalls,
      stalledSeconds: this.source.meter.stalledSeconds,
      level: engine?.current() ?? -1,
      levels: levels.map((level, i) => ({ ...level, name: names[i] ?? "" })),
      playedSeconds: this.source.meter.playedSeconds,
      droppedFrames: this.video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0,
      error: this.source.lastError,
    };
  }

  // What happens

  /** What the next engine is to play. */
  private what(): Play {
    if (this.rewind === null) return { kind: "recorded" };
    const { past, reach } = this.rewind;
    if (past === null) return { kind: "live" };
    const after = reach === null ? 0 : (past - listStart(reach, this.clock.now())) / 1000;
    return { kind: "past", from: past, after };
  }

  private onMedia(media: Media): void {
    if (media === "playing" || media === "paused") {
      this.rewind?.works();
      this.timeline.arrived();
    } else if (media === "unavailable" || media === "locked" || media === "ended" || media === "detached") {
      this.timeline.arrived();
    }
    if (media === "unavailable") this.rewind?.failed();
    // What is on the air next begins at live.
    if (media === "detached" && this.rewind !== null) this.rewind.past = null;
    if (!this.timeline.moving) this.freeze.drop();
    this.onEvent({ kind: "media", media });
  }

  private onEvent(event: Parameters<typeof step>[1]): void {
    const now = performance.now();
    this.session = step(this.session, event, now);
    // The end of the media is news that the status may not have told yet.
    if (event.kind === "media" && event.media === "ended") this.poller.soon();
    if (event.kind === "answer" && reload(this.session) && now - this.reloadedAt > RELOAD_MS) {
      this.reloadedAt = now;
      if (this.rewind !== null) this.rewind.past = null;
      this.source.reload();
    }
    this.tick();
  }

  private tick(): void {
    const now = performance.now();
    const should = this.wanted && attached(this.session, now);
    if (should && this.source.media === "detached") {
      this.reloadedAt = now;
      this.source.attach(true);
    } else if (!should && this.source.media !== "detached") {
      this.source.detach();
    }
    if (should) void this.rewind?.read();
    if (this.source.media === "playing" && !this.video.seeking) this.timeline.note();
    this.render();
  }

  // What the viewer does

  private async play(): Promise<void> {
    await this.sound.play();
    this.render();
  }

  private togglePlay(): void {
    if (!this.wanted) {
      this.wanted = true;
      this.tick();
      // Within the click, as browsers want it; it takes effect when the media is there.
      void this.play();
    } else if (this.video.paused) {
      this.timeline.resume();
      if (!this.timeline.moving) void this.play();
    } else {
      this.timeline.pause();
      this.video.pause();
    }
  }

  private onVideoClick(): void {
    // A finger's first touch only brings the controls.
    if (matchMedia("(pointer: coarse)").matches && this.wanted) return;
    this.togglePlay();
  }

  private goLive(): void {
    if (this.recorded) return;
    this.timeline.goLive();
    if (this.video.paused && !this.timeline.moving) void this.play();
    this.render();
  }

  private seek(position: number): void {
    this.timeline.seek(position);
    this.render();
  }

  private skip(seconds: number): void {
    this.timeline.skip(seconds);
    this.render();
  }

  private captionTrack(): TextTrack | undefined {
    return [...this.video.textTracks].find((t) => t.kind === "subtitles" || t.kind === "captions");
  }

  private toggleCaptions(): void {
    const track = this.captionTrack();
    if (track) track.mode = track.mode === "showing" ? "disabled" : "showing";
    this.render();
  }

  private toggleFullscreen(): void {
    void toggleFullscreen(this.root, this.video);
  }

  showHelp(): void {
    if (this.help.open) this.help.close();
    else this.help.showModal();
  }

  private onKey(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (target.closest("input:not([type=range]), textarea, select")) return;
    const what = command(event, target.closest("button, a, input, [role=menu]") !== null);
    if (what === null || (this.help.open && what !== "help")) return;
    event.preventDefault();
    this.obey(what);
  }

  private obey(what: Command): void {
    switch (what) {
      case "play":
        return this.togglePlay();
      case "mute":
        return this.sound.setMuted(!this.video.muted);
      case "fullscreen":
        return this.toggleFullscreen();
      case "pip":
        return void togglePip(this.video);
      case "captions":
        return this.toggleCaptions();
      case "live":
        return this.goLive();
      case "help":
        return this.showHelp();
      case "louder":
        return this.sound.change(0.1);
      case "quieter":
        return this.sound.change(-0.1);
      case "back":
        return this.skip(-SKIP_SECONDS);
      case "forward":
        return this.skip(SKIP_SECONDS);
    }
  }

  /** Shows the controls; they go away by themselves while it plays and nobody is at them. */
  private wake(): void {
    this.root.dataset.idle = "no";
    this.sleepSoon(HIDE_CONTROLS_MS);
  }

  private sleepSoon(ms: number): void {
    clearTimeout(this.hideTimer);
    this.hideTimer = setTimeout(() => {
      const held = this.controls.menuOpen() || this.root.querySelector(".bar :focus-visible") !== null;
      this.root.dataset.idle = held || this.video.paused ? "no" : "yes";
    }, ms);
  }

  // What is shown

  private latency(): number | null {
    if (this.recorded) return null;
    if (!this.video.currentTime) return null;
    return latency(this.source.current()?.playingDate() ?? null, this.clock.now());
  }

  private name(): string {
    const { answer } = this.session;
    return (answer?.kind === "status" ? answer.status.title : null) ?? this.options.channel;
  }

  private render(): void {
    // The constructor's own events come before everything is built.
    if (this.source === undefined) return;
    const now = performance.now();
    const shown = view(this.session, now);
    const { media } = this.source;
    // A recording that has ended stands at its last picture.
    const over = this.recorded && shown === "ended";
    const hasPicture = shown === "live" || shown === "reconnecting" || over;
    const waitsForClick = !this.wanted && ["live", "input_loss"].includes(stateOf(this.session) ?? "");
    const words = waitsForClick
      ? { label: this.recorded ? "Recording" : "Live", title: this.name(), text: "", busy: false }
      : over
        ? null
        : card(shown, this.name(), this.recorded);
    this.root.dataset.view = waitsForClick ? "waiting" : shown;
    this.cover.show({
      words,
      notice: shown === "reconnecting" ? RECONNECTING_NOTICE : "",
      spins: hasPicture && (media === "stalled" || media === "loading"),
      offersPlay: waitsForClick || (hasPicture && media === "paused") || over,
      offersSound: this.sound.mutedByBrowser && this.video.muted && hasPicture,
    });
    this.controls.root.hidden = !hasPicture;
    this.controls.show(this.facts(hasPicture));
    this.scrubber.show(hasPicture ? this.timeline.range() : null);
    setAttribute(this.root, "aria-busy", String(media === "loading" || media === "stalled"));
    this.announce(shown);
  }

  private facts(onAir: boolean): Facts {
    const engine = this.source.current();
    const track = this.captionTrack();
    return {
      playing: !this.video.paused,
      muted: this.video.muted,
      volume: this.video.volume,
      latency: this.latency(),
      atLive: this.timeline.atLive(),
      onAir,
      place: this.recorded ? { now: this.video.currentTime, end: this.timeline.range()?.end ?? 0 } : null,
      levels: engine?.levels() ?? [],
      current: engine?.current() ?? -1,
      selected: engine?.selected() ?? -1,
      captions: track === undefined ? "none" : track.mode === "showing" ? "on" : "off",
      pip: document.pictureInPictureElement === this.video,
      fullscreen: document.fullscreenElement !== null,
    };
  }

  private announce(shown: View): void {
    const key = `${shown}\n${this.name()}`;
    if (key === this.shownKey) return;
    this.shownKey = key;
    this.options.onChange?.(shown, this.name());
  }
}
