// hls.js as an engine. The module is loaded only when there is something to play.

import Hls, {
  type ErrorData,
  type HlsConfig,
  type Level as HlsLevel,
  type Loader,
  type PlaylistLoaderContext,
} from "hls.js";
import { CLEAR_KEY, forKeySystem } from "./clear-key";
import type { Engine, EngineEvents, Play } from "./engine";
import { keepFirstFrame } from "./first-frame";
import type { Level } from "./format";
import { keepLatency } from "./latency-control.js";

/** Where the last throughput estimate is kept, so that a reload does not begin at the lowest quality. */
const ESTIMATE_KEY = "millstream.bits-per-second";
/** A start in the past that is this far off, in seconds, is put right. */
const START_TOLERANCE = 2;
const MEDIA_RECOVERIES = 2;
const MEDIA_RECOVERY_WINDOW_MS = 30_000;

/**
 * Parts of hls.js that a live channel has no use for. The one for interstitials also presses play by itself, which is
 * the viewer's or source.ts's business.
 */
const WITHOUT = {
  interstitialsController: undefined,
  iframeController: undefined,
  cmcdController: undefined,
} as unknown as Partial<HlsConfig>;

type PlaylistLoader = Loader<PlaylistLoaderContext>;
const DefaultLoader = Hls.DefaultConfig.loader as new (settings: HlsConfig) => PlaylistLoader;

/** Reads playlists, with their keys as hls.js can use them. */
class ReadingLoader extends DefaultLoader {
  override load(...[context, settings, callbacks]: Parameters<PlaylistLoader["load"]>): void {
    super.load(context, settings, {
      ...callbacks,
      onSuccess: (response, ...rest) => {
        const { data } = response;
        callbacks.onSuccess(
          typeof data === "string" ? { ...response, data: forKeySystem(data) } : response,
          ...rest,
        );
      },
    });
  }
}

export function hlsSupported(): boolean {
  return Hls.isSupported();
}

function rememberedEstimate(): number {
  try {
    const value = Number(sessionStorage.getItem(ESTIMATE_KEY));
    return value > 100_000 && value < 1e9 ? value : 2_000_000;
  } catch {
    return 2_000_000;
  }
}

export class HlsEngine implements Engine {
  private readonly hls: Hls;
  private readonly recoveries: number[] = [];
  private everLive = false;
  private readonly endLatency: (() => void) | null;

  constructor(
    private readonly video: HTMLVideoElement,
    url: string,
    private readonly events: EngineEvents,
    private readonly play: Play = { kind: "live" },
  ) {
    this.everLive = play.kind !== "live";
    this.hls = new Hls({
      ...WITHOUT,
      ...CLEAR_KEY,
      pLoader: ReadingLoader,
      // CMAF needs no transmuxing: the main thread only reads boxes.
      enableWorker: false,
      capLevelToPlayerSize: true,
      abrEwmaDefaultEstimate: rememberedEstimate(),
      backBufferLength: 30,
      maxBufferLength: 20,
      // latency-control.js does it.
      maxLiveSyncPlaybackRate: 1,
      // A recording plays from its beginning, also while it grows.
      ...(play.kind === "recorded" ? { startPosition: 0 } : {}),
      ...(play.kind === "past" ? { startPosition: Math.max(0, play.after) } : {}),
      manifestLoadPolicy: {
        default: {
          maxTimeToFirstByteMs: 8000,
          maxLoadTimeMs: 10_000,
          timeoutRetry: null,
          // This page tries again itself, knowing what the server says of the channel.
          errorRetry: null,
        },
      },
      playlistLoadPolicy: {
        default: {
          maxTimeToFirstByteMs: 8000,
          maxLoadTimeMs: 10_000,
          timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
          errorRetry: { maxNumRetry: 6, retryDelayMs: 500, maxRetryDelayMs: 2000, backoff: "linear" },
        },
      },
    });
    const hls = this.hls;
    hls.on(Hls.Events.ERROR, (_, data) => this.onError(data));
    hls.on(Hls.Events.BUFFER_CREATED, (_, { tracks }) => {
      for (const { buffer } of Object.values(tracks)) if (buffer) keepFirstFrame(buffer);
    });
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.events.changed());
    hls.on(Hls.Events.LEVEL_SWITCHED, () => this.events.changed());
    hls.on(Hls.Events.LEVEL_LOADED, (_, data) => {
      const { live, fragments } = data.details;
      // hls.js does not get over a list whose every segment is a gap: it is as good as not on the air yet.
      if (!this.everLive && live && fragments.every((f) => f.gap))
        this.events.failed("nothing listed yet", null);
      else if (live) this.everLive = true;
      else if (!this.everLive) this.events.complete();
    });
    hls.loadSource(url);
    hls.attachMedia(video);
    this.endLatency = play.kind === "live" ? keepLatency(video, hls) : null;
    // Where a moment lies in the list is known for sure once there is the list.
    if (play.kind === "past")
      video.addEventListener("loadeddata", () => this.correctStart(play.from), { once: true });
  }

  levels(): Level[] {
    return this.hls.levels.map((l: HlsLevel) => ({
      height: l.height || 0,
      frameRate: l.frameRate || 0,
      bitRate: l.bitrate || 0,
    }));
  }

  current(): number {
    return this.hls.currentLevel;
  }

  selected(): number {
    return this.hls.autoLevelEnabled ? -1 : this.hls.nextLevel;
  }

  select(index: number): void {
    this.hls.nextLevel = index;
  }

  playingDate(): Date | null {
    return this.hls.playingDate;
  }

  dateAt(position: number): number | null {
    const { fragments = [] } = this.hls.latestLevelDetails ?? {};
    const fragment = fragments.filter((f) => f.start <= position).at(-1) ?? fragments[0];
    const date = fragment?.programDateTime ?? null;
    return fragment === undefined || date === null ? null : date + (position - fragment.start) * 1000;
  }

  positionAt(date: number): number | null {
    const { fragments = [] } = this.hls.latestLevelDetails ?? {};
    const fragment = fragments.filter((f) => (f.programDateTime ?? Number.POSITIVE_INFINITY) <= date).at(-1);
    if (fragment === undefined) return null;
    const into = (date - (fragment.programDateTime ?? date)) / 1000;
    const isLast = fragment === fragments.at(-1);
    // A hole in the recording is passed over.
    return isLast && into > fragment.duration + 1 ? null : fragment.start + Math.min(into, fragment.duration);
  }

  holdBack(): number | null {
    const details = this.hls.latestLevelDetails;
    return details == null ? null : details.partHoldBack || details.holdBack || 3 * details.targetduration;
  }

  livePosition(): number | null {
    if (this.play.kind === "recorded") return null;
    return this.hls.liveSyncPosition;
  }

  finished(): boolean {
    return this.everLive && this.hls.latestLevelDetails?.live === false;
  }

  private correctStart(from: number): void {
    const position = this.positionAt(from);
    if (position !== null && Math.abs(position - this.video.currentTime) > START_TOLERANCE)
      this.video.currentTime = position;
  }

  destroy(): void {
    this.endLatency?.();
    try {
      const estimate = this.hls.bandwidthEstimate;
      if (Number.isFinite(estimate)) sessionStorage.setItem(ESTIMATE_KEY, String(Math.round(estimate)));
    } catch {
      // No storage: the next start begins with the default.
    }
    this.hls.destroy();
  }

  private onError(data: ErrorData): void {
    if (!data.fatal) return;
    const now = performance.now();
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      while (this.recoveries.length > 0 && now - (this.recoveries[0] ?? 0) > MEDIA_RECOVERY_WINDOW_MS) {
        this.recoveries.shift();
      }
      if (this.recoveries.length < MEDIA_RECOVERIES) {
        this.recoveries.push(now);
        this.hls.recoverMediaError();
        return;
      }
    }
    this.events.failed(data.details, data.response?.code || null);
  }
}
