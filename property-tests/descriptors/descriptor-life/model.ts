/**
 * A simple model of the descriptors of one machine: which connections are open under which number, which operations
 * wait, and which bytes are in flight.
 */

/** One end of a connection. */
export class End {
  /** -1 while the end waits in a backlog. */
  fd = -1;
  /** Whether the descriptor is open, or the end still waits in a backlog. */
  open = true;
  /** The number of bytes that were sent to this end but not received. */
  inbox = 0;
  /** Whether the peer has ended its sending direction. */
  ended = false;
  /** Whether the peer has reset the connection. */
  broken = false;
  /** Whether this end has ended its sending direction. */
  saidEnd = false;
  /** How many bytes the running receive waits for. */
  receiving: number | undefined;
  /** Whether a send waits because it is longer than the buffers between both ends. */
  flooding = false;
  /** The moment at which a graceful close gives up. */
  closingUntil: number | undefined;
  /**
   * Whether the model cannot know how many bytes still arrive, because a flood of the peer was cut off. From then on,
   * the only command for this end is an abort.
   */
  murky = false;
  peer!: End;
}

/** A listener with its reserve descriptor. */
export interface ListenerModel {
  readonly port: number;
  readonly fd: number;
  /** Closed for a moment when descriptors run out, and opened again, perhaps under another number. */
  reserve: number;
  open: boolean;
  accepting: boolean;
  readonly backlog: End[];
  /** The length of the last pause of accepting. */
  pauseMs: number;
}

/** The model of one host. Each command acts on it and on the real host. */
export class Model {
  readonly listeners: ListenerModel[] = [];
  readonly ends: End[] = [];
  /** Open descriptors by number. */
  readonly open = new Set<number>();
  /** How often a descriptor number was used again. */
  reuses = 0;
  readonly #used = new Set<number>();

  listen(port: number): ListenerModel {
    const listener: ListenerModel = {
      port,
      fd: this.#take(),
      reserve: this.#take(),
      open: true,
      accepting: false,
      backlog: [],
      pauseMs: 0,
    };
    this.listeners.push(listener);
    return listener;
  }

  /** @returns the new client, and the server's end if an accept was waiting. */
  connect(listener: ListenerModel): { client: End; accepted: End | undefined } {
    const [client, server] = [new End(), new End()];
    [client.peer, server.peer] = [server, client];
    client.fd = this.#take();
    this.ends.push(client);
    listener.backlog.push(server);
    return { client, accepted: listener.accepting ? this.accept(listener) : undefined };
  }

  /** @returns the accepted end, or `undefined` if the backlog is empty. The accept waits then. */
  accept(listener: ListenerModel): End | undefined {
    const end = listener.backlog.shift();
    listener.accepting = end === undefined;
    if (end === undefined) return undefined;
    listener.pauseMs = 0;
    end.fd = this.#take();
    this.ends.push(end);
    return end;
  }

  /**
   * Descriptors run out in the middle of an accept: the listener drops the first connection of the backlog and accepts
   * the next one.
   * @returns the accepted end, or `undefined` if the accept waits.
   */
  turnAway(listener: ListenerModel): End | undefined {
    this.open.delete(listener.reserve);
    listener.reserve = this.#take();
    listener.pauseMs = Math.min(1_000, Math.max(10, listener.pauseMs * 2));
    const end = listener.backlog.shift();
    if (end !== undefined) this.#drop(end);
    return this.accept(listener);
  }

  closeListener(listener: ListenerModel): void {
    listener.open = listener.accepting = false;
    for (const fd of [listener.fd, listener.reserve]) this.open.delete(fd);
    // The kernel resets connections that were not accepted.
    for (const end of listener.backlog.splice(0)) {
      end.open = false;
      if (!end.broken) this.#breakPeer(end);
    }
  }

  send(end: End, count: number): void {
    const { peer } = end;
    if (end.broken) return;
    if (!peer.open) end.broken = true;
    else if (peer.closingUntil === undefined) {
      peer.inbox += count;
      this.#serve(peer);
    }
  }

  /** Sends more than the buffers hold. The send waits until everything was received. */
  flood(end: End, count: number): void {
    end.flooding = true;
    this.send(end, count);
  }

  receive(end: End, count: number): void {
    end.receiving = count;
    this.#serve(end);
    if (end.receiving === undefined) return;
    if (end.ended) this.#cutReceive(end);
    else if (end.broken) this.#destroy(end);
  }

  /**
   * Cancels the waiting receive and the waiting flood.
   * @param flooded the length of the flood.
   * @param accepted how many bytes of the flood the connection has taken.
   */
  cancel(end: End, flooded: number, accepted: number): void {
    if (end.receiving !== undefined) this.#cutReceive(end);
    if (!end.flooding) return;
    end.flooding = false;
    end.peer.inbox -= flooded - accepted;
  }

  sayEnd(end: End): void {
    if (end.saidEnd) return;
    end.saidEnd = true;
    if (!end.broken) this.#hearEnd(end.peer);
  }

  close(end: End, now: number): void {
    end.receiving = undefined;
    end.closingUntil = now + CLOSE_MS;
    this.#endGracefully(end);
  }

  abort(end: End): void {
    if (!end.broken) this.#breakPeer(end);
    this.#destroy(end);
  }

  /** Ends the graceful closes whose time is over. */
  pass(now: number): void {
    for (const end of this.ends) {
      if (!end.open || end.closingUntil === undefined || end.closingUntil > now) continue;
      // How much of a flood was sent depends on the kernel buffers. If the peer floods as well, it gets a reset.
      if (end.flooding) end.peer.murky = true;
      if (end.flooding && end.peer.flooding) this.#breakPeer(end);
      this.#destroy(end);
    }
  }

  /**
   * Ends the sending direction for a graceful close, after all pending bytes were sent. Incoming bytes are dropped
   * until the peer ends as well.
   */
  #endGracefully(end: End): void {
    if (end.flooding) return;
    end.inbox = 0;
    this.#floodDone(end.peer);
    this.sayEnd(end);
    if (end.open && (end.ended || end.broken)) this.#destroy(end);
  }

  /** Completes a waiting receive if enough bytes have arrived. */
  #serve(end: End): void {
    const { receiving } = end;
    if (receiving === undefined || end.inbox < receiving) return;
    end.inbox -= receiving;
    end.receiving = undefined;
    if (end.inbox === 0) this.#floodDone(end.peer);
  }

  #floodDone(end: End): void {
    if (!end.flooding) return;
    end.flooding = false;
    if (end.closingUntil !== undefined) this.#endGracefully(end);
  }

  /** Fails the receive. Its error carries the bytes gathered so far, so the inbox is empty. */
  #cutReceive(end: End): void {
    end.receiving = undefined;
    end.inbox = 0;
  }

  #hearEnd(end: End): void {
    if (!end.open) return;
    end.ended = true;
    if (end.receiving !== undefined) this.#cutReceive(end);
    if (end.closingUntil !== undefined && !end.flooding) this.#destroy(end);
  }

  #breakPeer(end: End): void {
    const { peer } = end;
    if (!peer.open || peer.broken) return;
    if (end.flooding) peer.murky = true;
    peer.broken = true;
    if (peer.fd < 0) return;
    peer.flooding = false;
    if (peer.receiving !== undefined || peer.closingUntil !== undefined) this.#destroy(peer);
  }

  /** The kernel closes an end that was not accepted. */
  #drop(end: End): void {
    end.open = false;
    if (end.broken) return;
    if (end.inbox > 0) this.#breakPeer(end);
    else this.#hearEnd(end.peer);
  }

  #destroy(end: End): void {
    end.open = end.flooding = false;
    end.receiving = undefined;
    this.open.delete(end.fd);
  }

  #take(): number {
    let fd = 3;
    while (this.open.has(fd)) fd++;
    this.open.add(fd);
    if (this.#used.has(fd)) this.reuses++;
    this.#used.add(fd);
    return fd;
  }
}

/** The longest duration of a graceful close, in milliseconds. */
export const CLOSE_MS = 2_000;
