/**
 * Descriptors as one would draw them on paper: who is open under which number, who waits for what, and what is on its
 * way.
 */

/** One end of a connection. */
export class End {
  /** -1 while it waits in a backlog. */
  fd = -1;
  /** Whether its descriptor is open, or its place in a backlog kept. */
  open = true;
  /** Bytes that were sent to it and that nobody has received. */
  inbox = 0;
  /** The peer has said that it sends nothing more. */
  ended = false;
  /** The peer broke the connection. */
  broken = false;
  saidEnd = false;
  /** How many bytes a receive waits for. */
  receiving: number | undefined;
  /** Whether a send waits that is too long for the buffers between both ends. */
  flooding = false;
  /** A polite close goes on until this moment. */
  closingUntil: number | undefined;
  /** What it will still receive depends on how much was under way: only breaking it is foretold. */
  murky = false;
  peer!: End;
}

/** A listener with its reserve. */
export interface ListenerModel {
  readonly port: number;
  readonly fd: number;
  /** The descriptor that is given back for a moment when there are no others; it may come back under another number. */
  reserve: number;
  open: boolean;
  accepting: boolean;
  readonly backlog: End[];
  /** How long accepting last paused. */
  pauseMs: number;
}

/** All of one host, to which the same is done as to the real one. */
export class Model {
  readonly listeners: ListenerModel[] = [];
  readonly ends: End[] = [];
  /** Open descriptors by number. */
  readonly open = new Set<number>();
  /** How often a number was given out that somebody had had before. */
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

  /** @returns the new client, and the server's end if somebody was waiting for it. */
  connect(listener: ListenerModel): { client: End; accepted: End | undefined } {
    const [client, server] = [new End(), new End()];
    [client.peer, server.peer] = [server, client];
    client.fd = this.#take();
    this.ends.push(client);
    listener.backlog.push(server);
    return { client, accepted: listener.accepting ? this.accept(listener) : undefined };
  }

  /** @returns the accepted end; `undefined` when none waits, and then the accept does. */
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
   * Descriptors run out in the middle of an accept: the first of the backlog is turned away, the next one gets its
   * turn.
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
    // The kernel breaks off those that nobody has accepted.
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

  /** Sends more than the buffers hold: it waits until everything was received. */
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

  /** @param accepted how many bytes of a flood went out. */
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
    this.#sayGoodbye(end);
  }

  abort(end: End): void {
    if (!end.broken) this.#breakPeer(end);
    this.#destroy(end);
  }

  /** Polite closes last only so long. */
  pass(now: number): void {
    for (const end of this.ends) {
      if (!end.open || end.closingUntil === undefined || end.closingUntil > now) continue;
      // How much of a flood has left is the kernels' affair; one that comes towards it meets nobody.
      if (end.flooding) end.peer.murky = true;
      if (end.flooding && end.peer.flooding) this.#breakPeer(end);
      this.#destroy(end);
    }
  }

  /**
   * The goodbye of a polite close, once what is being sent has gone out: everything that comes is dropped until the
   * peer ends.
   */
  #sayGoodbye(end: End): void {
    if (end.flooding) return;
    end.inbox = 0;
    this.#floodDone(end.peer);
    this.sayEnd(end);
    if (end.open && (end.ended || end.broken)) this.#destroy(end);
  }

  /** Gives a waiting receive what has come. */
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
    if (end.closingUntil !== undefined) this.#sayGoodbye(end);
  }

  /** A failed receive hands over what it had gathered. */
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

  /** The kernel lets go of an end that nobody has accepted. */
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

/** What a polite close takes at most, in milliseconds. */
export const CLOSE_MS = 2_000;
