/** The real reactor on one simulated host. Each command acts on it as on the model, and `agree` compares the two. */

import assert from 'node:assert/strict';

import { WantioError } from '../../../core/errors.ts';
import type { Operation } from '../../../core/operation.ts';
import type { Connection } from '../../../reactor/connections/connection.ts';
import type { HandleOwner } from '../../../reactor/handle.ts';
import type { FaultRule, FaultyCall } from '../../../reactor/faults/fault.ts';
import { PASS } from '../../../reactor/faults/fault.ts';
import type { Listener } from '../../../reactor/listening/listener.ts';
import type { SimulatedMachine, World } from '../../../reactor/simulated/world.ts';
import type { Ledger } from '../../../reactor/ledger.ts';
import type { End, ListenerModel, Model } from './model.ts';

/** Makes the call named in `next` fail once with EMFILE. */
export class Shortage {
  /** The call that fails the next time it is made. */
  next: FaultyCall | undefined;

  /** @param rule decides the faults of all other calls. */
  constructor(rule: FaultRule = () => PASS) {
    this.rule = (context) => {
      if (context.call !== this.next) return rule(context);
      this.next = undefined;
      return { kind: 'errno', code: 'EMFILE' };
    };
  }

  readonly rule: FaultRule;
}

/** The real connection that belongs to an end of the model, with its running operations. */
interface Twin {
  readonly connection: Connection;
  /** What its descriptor must belong to while it is open. */
  readonly owner: HandleOwner;
  receiving?: Operation<unknown>;
  sending?: Operation<number>;
  cancel: AbortController;
}

/** The real side of the model: connections and listeners in a simulated network. */
export class Real {
  readonly world: World;
  readonly machine: SimulatedMachine;
  readonly shortage: Shortage;
  readonly twins = new Map<End, Twin>();
  readonly listeners = new Map<ListenerModel, Listener>();
  /** Descriptions of everything that must never happen but did. */
  readonly offences: string[] = [];
  readonly #ledger: Ledger;

  constructor(world: World, machine: SimulatedMachine, ledger: Ledger, shortage: Shortage) {
    this.world = world;
    this.machine = machine;
    this.shortage = shortage;
    this.#ledger = ledger;
  }

  /** Lets everything in flight arrive. */
  async settle(model: Model, ms = 1): Promise<void> {
    await this.world.sleep(ms);
    // Skips moments at which a graceful close may or may not have ended.
    while (
      model.ends.some(
        ({ open, closingUntil }) =>
          open && closingUntil !== undefined && Math.abs(closingUntil - this.world.now()) <= 5,
      )
    )
      await this.world.sleep(5);
    model.pass(this.world.now());
  }

  /** Records a new connection, and checks that it emits nothing after it is closed. */
  adopt(end: End, connection: Connection): void {
    const offend = (what: string): void => {
      if (connection.closed) this.offences.push(`${what} of closed connection ${String(end.fd)}`);
    };
    const { handle } = connection.basis.socket;
    const { owner: slots } = handle;
    const owner: HandleOwner = {
      dispatch: () => {
        offend('dispatch');
        slots?.dispatch();
      },
    };
    handle.owner = owner;
    connection.wants$.subscribe(() => {
      offend('want');
    });
    // Readiness that no receive or send answers is emitted in 64 turns before the reactor disarms it. The connection
    // must be open in each turn.
    connection.writable$.subscribe(() => {
      offend('writable');
    });
    let closes = 0;
    connection.on('close', () => {
      if (++closes > 1) this.offences.push(`second 'close' event of connection ${String(end.fd)}`);
    });
    this.twins.set(end, { connection, owner, cancel: new AbortController() });
  }

  twin(end: End): Twin {
    const twin = this.twins.get(end);
    assert(twin !== undefined, 'the end has a real connection');
    return twin;
  }

  /** Asserts that the reactor is in the state of the model, as far as it can be observed. */
  agree(model: Model): void {
    const sorted = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);
    const { reactor, host } = this.machine;
    assert.deepEqual(sorted(this.#ledger.open), sorted(model.open), 'open descriptors');
    assert.equal(host.openDescriptors, model.open.size, 'descriptors of the host');
    assert.deepEqual(this.#ledger.closedTwice, [], 'descriptors that were closed although they were not open');
    const living = model.ends.filter(({ open }) => open);
    assert.equal(reactor.connections.size, living.length, 'connections of the reactor');
    for (const end of model.ends) {
      const { connection, owner } = this.twin(end);
      const { handle } = connection.basis.socket;
      assert.equal(handle.fd, end.fd, 'the descriptor number of a connection');
      assert.equal(connection.closed, !end.open, `whether connection ${String(end.fd)} is closed`);
      assert.equal(handle.owner, end.open ? owner : undefined, `the owner of descriptor ${String(end.fd)}`);
    }
    for (const [listener, real] of this.listeners)
      assert.equal(real.closed, !listener.open, 'whether a listener is closed');
    assert.equal(
      reactor.openListeners.size,
      model.listeners.filter(({ open }) => open).length,
      'listeners of the reactor',
    );
    const expected = [
      ...model.listeners.filter(({ accepting }) => accepting).map(() => 'accept'),
      ...living.flatMap(({ receiving, flooding, closingUntil }) => [
        ...(receiving === undefined ? [] : ['receive']),
        ...(flooding ? ['send'] : closingUntil === undefined ? [] : ['shutdown']),
      ]),
    ];
    assert.deepEqual(
      reactor
        .operations()
        .map(({ name }) => name)
        .sort(),
      expected.sort(),
      'pending operations',
    );
    assert.deepEqual(this.offences, []);
  }
}

/** Records an offence if `operation` rejects with anything but a WantioError. */
export function watched<T>(real: Real, operation: Operation<T>): Operation<T> {
  operation.then(undefined, (error: unknown) => {
    if (!(error instanceof WantioError)) real.offences.push(`not a WantioError: ${String(error)}`);
  });
  return operation;
}
