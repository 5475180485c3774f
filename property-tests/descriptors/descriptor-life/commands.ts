/** The commands of the law of descriptors. Each one acts on the model and on the real reactor. */

import assert from 'node:assert/strict';

import fc from 'fast-check';

import { SystemError, WantioError } from '../../../core/errors.ts';
import { CLOSE_MS } from './model.ts';
import type { End, ListenerModel, Model } from './model.ts';
import { watched } from './real.ts';
import type { Real } from './real.ts';

type Command = fc.AsyncCommand<Model, Real>;

/** A command that acts on one of its candidates: ends or listeners for which it is possible. */
abstract class About<T> implements Command {
  readonly #name: string;
  readonly #nth: number;

  constructor(name: string, nth: number) {
    this.#name = name;
    this.#nth = nth;
  }

  abstract candidates(model: Model): readonly T[];
  /** Acts on the model and on the real reactor. */
  abstract act(subject: T, model: Model, real: Real): Promise<void> | void;

  check(model: Model): boolean {
    return this.candidates(model).length > 0;
  }

  async run(model: Model, real: Real): Promise<void> {
    const candidates = this.candidates(model);
    await this.act(candidates[this.#nth % candidates.length], model, real);
    await real.settle(model);
    real.agree(model);
  }

  toString(): string {
    return `${this.#name}(${String(this.#nth)})`;
  }
}

/** @returns a maker of commands with the given candidates and action. */
function command<T>(
  name: string,
  candidates: (model: Model) => readonly T[],
  act: (subject: T, model: Model, real: Real) => Promise<void> | void,
): (nth: number) => Command {
  return (nth) =>
    new (class extends About<T> {
      override candidates = candidates;
      override act = act;
    })(name, nth);
}

const usable = (end: End): boolean => end.open && end.fd >= 0 && end.closingUntil === undefined && !end.murky;
/** Whether the buffers towards the peer have room. They have none after a flood that was cancelled. */
const hasRoom = ({ peer }: End): boolean => peer.inbox < FLOOD / 10;
const ends =
  (which: (end: End) => boolean) =>
  (model: Model): End[] =>
    model.ends.filter((end) => usable(end) && which(end));
const listeners =
  (which: (listener: ListenerModel) => boolean) =>
  (model: Model): ListenerModel[] =>
    model.listeners.filter((listener) => listener.open && which(listener));
const mayListen = (model: Model): readonly null[] =>
  model.listeners.filter(({ open }) => open).length < 3 ? [null] : [];

async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function listenOn(port: number, real: Real) {
  return real.machine.reactor.listen({ host: '127.0.0.1', port });
}

const listen = command('listen', mayListen, async (_, model, real) => {
  const port = 1 + model.listeners.length;
  const listener = model.listen(port);
  real.listeners.set(listener, await listenOn(port, real));
});

const closeListener = command(
  'close listener',
  listeners(() => true),
  (listener, model, real) => {
    model.closeListener(listener);
    real.listeners.get(listener)?.close();
  },
);

const connect = command(
  'connect',
  listeners(({ backlog }) => backlog.length < 5),
  async (listener, model, real) => {
    const { client } = model.connect(listener);
    real.adopt(client, await real.machine.reactor.connect({ host: '127.0.0.1', port: listener.port }));
  },
);

const refused = command(
  'connect to a closed port',
  () => [null],
  async (_, _model, real) => {
    assert.equal(
      ((await failureOf(real.machine.reactor.connect({ host: '127.0.0.1', port: 60_000 }))) as SystemError).code,
      'ECONNREFUSED',
    );
  },
);

/** Starts an accept. Its connection belongs to the end of the model that has the same descriptor number. */
function startAccept(listener: ListenerModel, model: Model, real: Real): void {
  const accepting = real.listeners.get(listener)?.accept();
  assert(accepting !== undefined);
  watched(real, accepting).then(
    (connection) => {
      const end = model.ends.find(
        (each) => each.fd === connection.basis.socket.handle.fd && each.open && !real.twins.has(each),
      );
      if (end === undefined)
        real.offences.push(`the model has no end for accepted descriptor ${String(connection.basis.socket.handle.fd)}`);
      else real.adopt(end, connection);
    },
    () => undefined,
  );
}

const accept = command(
  'accept',
  listeners(({ accepting }) => !accepting),
  (listener, model, real) => {
    model.accept(listener);
    startAccept(listener, model, real);
  },
);

const send = command(
  'send',
  ends((end) => !end.saidEnd && !end.flooding && hasRoom(end)),
  async (end, model, real) => {
    const [fails, holds] = [end.broken, end.peer.open];
    model.send(end, SHORT);
    const failure = await failureOf(real.twin(end).connection.send(new Uint8Array(SHORT)));
    if (fails) assert(failure instanceof SystemError, 'a send to a broken connection fails');
    else if (holds) assert.equal(failure, undefined, 'a short send succeeds at once');
  },
);

const flood = command(
  'flood',
  ends(
    (end) =>
      !end.saidEnd &&
      !end.flooding &&
      hasRoom(end) &&
      !end.broken &&
      end.peer.open &&
      end.peer.closingUntil === undefined,
  ),
  (end, model, real) => {
    model.flood(end, FLOOD);
    const twin = real.twin(end);
    twin.sending = watched(real, twin.connection.send(new Uint8Array(FLOOD), { signal: twin.cancel.signal }));
  },
);

function startReceive(end: End, count: number, model: Model, real: Real): void {
  model.receive(end, count);
  const twin = real.twin(end);
  twin.receiving = watched(real, twin.connection.receive(count, { signal: twin.cancel.signal }));
}

const receive = command(
  'receive',
  ends((end) => end.receiving === undefined),
  (end, model, real) => {
    startReceive(end, SHORT + 7, model, real);
  },
);

const drain = command(
  'receive everything',
  ends((end) => end.receiving === undefined && !end.broken && end.inbox > 0),
  (end, model, real) => {
    startReceive(end, end.inbox, model, real);
  },
);

const cancel = command(
  'cancel',
  ends((end) => end.receiving !== undefined || end.flooding),
  (end, model, real) => {
    const twin = real.twin(end);
    twin.cancel.abort();
    twin.cancel = new AbortController();
    model.cancel(end, FLOOD, (twin.sending?.last ?? -1) + 1);
  },
);

const shutdown = command(
  'shutdown',
  ends((end) => !end.flooding),
  async (end, model, real) => {
    model.sayEnd(end);
    await real.twin(end).connection.shutdown('send');
  },
);

const close = command(
  'close',
  ends(() => true),
  (end, model, real) => {
    model.close(end, real.world.now());
    // Only the total time is limited here. Other laws test how progress prolongs a close.
    void real.twin(end).connection.close({ timeoutMs: CLOSE_MS });
  },
);

const abort = command(
  'abort',
  (model) => model.ends.filter((end) => end.open && end.fd >= 0),
  (end, model, real) => {
    model.abort(end);
    real.twin(end).connection.abort();
  },
);

const useClosed = command(
  'use a closed connection',
  (model) => model.ends.filter((end) => !end.open),
  async (end, _, real) => {
    const { connection } = real.twin(end);
    for (const operation of [connection.send('x'), connection.receive(1), connection.shutdown()])
      assert.equal(((await failureOf(operation)) as WantioError).code, 'ERR_WANTIO_CLOSED');
    assert.throws(() => connection.trySend(new Uint8Array(1)), WantioError);
    assert.throws(() => {
      connection.setOption('noDelay', true);
    }, WantioError);
    connection.abort();
    await connection.close();
  },
);

const shortOfSockets = command(
  'run out of descriptors',
  listeners(() => true),
  async (listener, model, real) => {
    for (const begin of [
      () => real.machine.reactor.connect({ host: '127.0.0.1', port: listener.port }),
      () => listenOn(50_000, real),
    ]) {
      real.shortage.next = 'socket';
      assert.equal(((await failureOf(begin())) as SystemError).code, 'EMFILE');
    }
    await real.settle(model);
  },
);

const shortOnAccept = command(
  'run out of descriptors in accept',
  listeners(({ accepting, backlog }) => !accepting && backlog.length > 0),
  async (listener, model, real) => {
    real.shortage.next = 'accept';
    model.turnAway(listener);
    startAccept(listener, model, real);
    await real.settle(model, listener.pauseMs + 1_005);
  },
);

const pass = command(
  'let time pass',
  () => [null],
  (_, model, real) => real.settle(model, 2_500),
);

/** Every command. The more interesting ones occur several times, so that they are drawn more often. */
export function commands(): fc.Arbitrary<Command>[] {
  const of = (make: (nth: number) => Command): fc.Arbitrary<Command> => fc.nat(5).map(make);
  return [
    listen,
    connect,
    connect,
    connect,
    accept,
    accept,
    accept,
    send,
    send,
    flood,
    receive,
    receive,
    drain,
    cancel,
    shutdown,
    close,
    close,
    abort,
    abort,
    closeListener,
    refused,
    useClosed,
    shortOfSockets,
    shortOnAccept,
    pass,
  ].map(of);
}

// Less than a receive asks for, so that the receive still waits after one send.
const SHORT = 10;
// More than two kernel buffers and one buffer of the library hold, but less than a graceful close drops.
const FLOOD = 220_000;
