// Asks the API every two seconds while the page is in sight, and right after a change.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, api } from "./api";
import type { Channel, ServerInfo } from "./model";

const EVERY_MS = 2000;

export interface Polled {
  /** `null` before the first answer. */
  channels: Channel[] | null;
  server: ServerInfo | null;
  /** Why the last question was not answered. */
  error: ApiError | null;
  refresh: () => Promise<void>;
}

export function usePolling(): Polled {
  const [channels, setChannels] = useState<Channel[] | null>(null);
  const [server, setServer] = useState<ServerInfo | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const asked = useRef(0);

  const refresh = useCallback(async () => {
    const question = ++asked.current;
    try {
      const [list, info] = await Promise.all([api.channels(), api.server()]);
      // An answer that was overtaken by a later question is old news.
      if (question !== asked.current) return;
      setChannels(list);
      setServer(info);
      setError(null);
    } catch (reason) {
      if (question === asked.current) setError(reason as ApiError);
    }
  }, []);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let closed = false;
    const loop = async () => {
      if (document.visibilityState === "visible") await refresh();
      if (!closed) timer = setTimeout(() => void loop(), EVERY_MS);
    };
    const onVisible = () => document.visibilityState === "visible" && void refresh();
    document.addEventListener("visibilitychange", onVisible);
    void loop();
    return () => {
      closed = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [refresh]);

  return { channels, server, error, refresh };
}
