// A client for one room over one WebSocket, for browsers and Node 22 or newer, without dependencies.
//
//   const room = new Room('http://127.0.0.1:8080', '1', token);
//   room.addEventListener('gift.sent', ({ detail }) => console.log(detail));
//   const sent = await room.sendGift({ giftId: '2002', count: 1 });
//
// The WebSocket carries requests, answers and events, so that one connection does and no rule for other origins is needed.

const REQUEST_TIMEOUT_MS = 5_000;
const TRIES_MAX = 5;
const RECONNECT_MS_MAX = 10_000;

/** A refusal, as RFC 9457 has it: `status`, `type`, `detail`, and `errCode` and `extra` beside them. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? body?.title ?? `status ${status}`);
    this.status = status;
    this.body = body;
  }
}

/** The connection was lost or the answer did not come: the outcome is not known, and the same event id finds it. */
export class Unknown extends Error {}

/** One room. Fires `open`, `close`, and every event of the room under its name, with its data as `detail`. */
export class Room extends EventTarget {
  #url;
  #socket;
  #waiting = new Map();
  #ref = 0;
  #failures = 0;
  #isClosed = false;
  #reconnect;

  constructor(server, room, token) {
    super();
    this.#url = new URL(`v1/rooms/${encodeURIComponent(room)}/ws`, server.endsWith('/') ? server : `${server}/`);
    this.#url.protocol = this.#url.protocol.replace('http', 'ws');
    this.#url.searchParams.set('token', token);
    this.#connect();
  }

  /** Sends a gift. Tries again, with the same event id, for as long as that can help: it is paid once. */
  async sendGift(gift) {
    const body = { eventId: newEventId(), ...gift };
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.request('POST', 'gifts', body);
      } catch (error) {
        const isWorthIt = error instanceof Unknown || error.status === 503 || error.status === 504;
        if (!isWorthIt || attempt === TRIES_MAX) throw error;
        await sleep(200 * 2 ** attempt * (0.5 + Math.random()));
      }
    }
  }

  /** One request to a path under the room. Rejects with a Problem, or with Unknown. */
  async request(method, path, body) {
    await this.#opened();
    const ref = (this.#ref += 1);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(ref, (it) => it.reject(new Unknown('no answer'))), REQUEST_TIMEOUT_MS);
      this.#waiting.set(ref, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ ref, method, path, body }));
    });
  }

  /** Ends the connection for good. */
  close() {
    this.#isClosed = true;
    clearTimeout(this.#reconnect);
    this.#socket.close();
  }

  #connect() {
    this.#socket = new WebSocket(this.#url, 'greenroom.v1');
    this.#socket.addEventListener('open', () => {
      this.#failures = 0;
      this.dispatchEvent(new Event('open'));
    });
    this.#socket.addEventListener('message', ({ data }) => this.#receive(JSON.parse(data)));
    this.#socket.addEventListener('close', () => this.#lost());
  }

  #receive(message) {
    if (message.ref !== undefined) {
      const { status, body } = message;
      this.#settle(message.ref, (it) => (status < 300 ? it.resolve(body) : it.reject(new Problem(status, body))));
    } else if (message.event !== undefined) {
      this.dispatchEvent(new CustomEvent(message.event, { detail: message.data }));
    }
  }

  #settle(ref, how) {
    const waiting = this.#waiting.get(ref);
    if (waiting === undefined) return;
    this.#waiting.delete(ref);
    clearTimeout(waiting.timer);
    how(waiting);
  }

  #lost() {
    for (const ref of [...this.#waiting.keys()]) this.#settle(ref, (it) => it.reject(new Unknown('connection lost')));
    this.dispatchEvent(new Event('close'));
    if (this.#isClosed) return;
    this.#failures += 1;
    const ms = Math.min(250 * 2 ** this.#failures, RECONNECT_MS_MAX) * (0.5 + Math.random() / 2);
    this.#reconnect = setTimeout(() => this.#connect(), ms);
  }

  #opened() {
    if (this.#isClosed) return Promise.reject(new Error('the room was closed'));
    if (this.#socket.readyState === WebSocket.OPEN) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Unknown('not connected')), REQUEST_TIMEOUT_MS);
      this.addEventListener('open', () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }
}

/** A UUIDv7: 48 bits of time, then random ones (RFC 9562, 5.7). The server finds such ids fastest. */
export function newEventId(now = Date.now()) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let i = 0; i < 6; i += 1) bytes[i] = Math.floor(now / 2 ** (8 * (5 - i))) % 256;
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
