// What happens on the server, over the WebSocket at v1/events: it goes on by itself when the server comes back.

import { socketAt } from "./api.js";

const SOONEST = 250; // milliseconds to the first new attempt
const LATEST = 3000;
const SILENCE = 20000; // pings come each 5 seconds: a line that is silent for so long is dead

// onstate:  "live", "connecting" or "gone", whenever that changes.
// onlive:   a new stream has begun; what happened before it is not in it, so look at everything.
// onevent:  {action, event, project_id}.
export function listen({ onstate, onlive, onevent }) {
  let wait = SOONEST;
  let watchdog = null;
  let state = null;

  function tell(next) {
    if (next !== state) onstate?.((state = next));
  }

  function connect() {
    tell(wait > SOONEST * 2 ? "gone" : "connecting");
    const socket = new WebSocket(socketAt("v1/events"));
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => socket.close(), SILENCE);
    };
    alive();
    socket.onopen = () => {
      wait = SOONEST;
      tell("live");
      onlive?.();
    };
    socket.onmessage = (message) => {
      alive();
      onevent?.(JSON.parse(message.data));
    };
    socket.onclose = () => {
      clearTimeout(watchdog);
      tell(wait > SOONEST ? "gone" : "connecting");
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, LATEST);
    };
  }
  connect();
}
