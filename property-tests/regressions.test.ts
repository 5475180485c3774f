// Bugs that the laws have found. Each is here as the smallest plan that showed it.

import { describe, expect, it } from 'vitest';

import { TICK_MS } from '../core/clock.ts';
import { TlsContext } from '../protocols/tls/context/context.ts';
import { Relay } from '../protocols/relay.ts';
import { SecureConnection } from '../protocols/tls/secure-connection.ts';
import { selfSigned } from '../protocols/tls/certificates/self-signed.ts';
import { Authority } from '../protocols/testing/tls/authority.ts';
import { CertificateError } from '../protocols/tls/tls-error.ts';
import type { Connection } from '../reactor/connections/connection.ts';
import { toDuplex } from '../reactor/streams/to-duplex.ts';
import type { ConnectionStream } from '../reactor/streams/to-duplex.ts';
import { PASS } from '../reactor/faults/fault.ts';
import type { Fault } from '../reactor/faults/fault.ts';
import type { World } from '../reactor/simulated/world.ts';
import { pairIn, sendInPieces } from './kit/scenarios.ts';
import { simulate } from './kit/simulate.ts';
import { contextsFor } from './kit/tls-contexts.ts';

const nothing = new Uint8Array(0);
// A TLS record with garbage inside. The peer answers with alert 20, `bad_record_mac`.
const badRecord = Uint8Array.from({ length: 90 }, (_, index) => [23, 3, 3, 0, 85][index] ?? 1);

describe('over a plain connection', () => {
  it('an abort ends a graceful close that waits for a send', () =>
    simulate({}, async (world) => {
      const { client } = await pairIn(world);
      const sending = client.send(new Uint8Array(220_000));
      const closing = client.close();
      const startedAt = world.now();
      client.abort();
      await expect(sending).rejects.toMatchObject({ code: 'ERR_WANTIO_CLOSED' });
      await closing;
      expect(world.now()).toBe(startedAt);
    }).then(() => undefined));

  it('a receive reports a reset as ECONNRESET, not as an end, after a send has reported it', () =>
    simulate({}, async (world) => {
      const { client, server } = await pairIn(world);
      await server.send('the beginning');
      await world.sleep(1);
      server.abort();
      await world.sleep(1);
      await expect(client.send('x')).rejects.toMatchObject({ code: 'ECONNRESET', syscall: 'send' });
      const error = await client.receive('*a').catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'ECONNRESET', partial: Uint8Array.from(Buffer.from('the beginning')) });
      expect(client.closed).toBe(true);
    }).then(() => undefined));
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('over %s', (version) => {
  it('a shutdown before the handshake does not disturb the handshake', async () => {
    const contexts = await contextsFor(version);
    await simulate({ link: { segment: 1 } }, async (world) => {
      const { client, server } = await pairIn(world, { sendBuffer: 65, receiveBuffer: 1 }, contexts);
      const [atServer, atClient] = await Promise.all([
        server.receive('*a'),
        client.receive('*a'),
        sendInPieces(client, nothing, [1]),
        sendInPieces(server, nothing, [1]),
      ]);
      expect([atServer.length, atClient.length]).toEqual([0, 0]);
    });
  });

  it('two operations that wait for one handshake both continue after it', async () => {
    const contexts = await contextsFor(version);
    await simulate({ link: { segment: 17, latencyMs: 1 } }, async (world) => {
      const { client, server } = await pairIn(world, { sendBuffer: 80, receiveBuffer: 1 }, contexts);
      const [line] = await Promise.all([
        client.receive(),
        client.send('question\n'),
        server.receive().then((question) => server.send(`${question}!\n`)),
      ]);
      expect(line).toBe('question!');
    });
  });

  it('a descriptor that lingers to deliver its alert is closed by the deadline of a drain', async () => {
    const contexts = await contextsFor(version);
    await simulate({ link: { latencyMs: 1 } }, async (world) => {
      const [here, there] = [world.machine('here'), world.machine('there')];
      const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
      const failed = new Promise((resolve) => listener.once('clientError', resolve));
      listener.serve({ secure: contexts.server }, () => undefined);
      const client = await here.reactor.connect({ host: 'there', port: 7 });
      await client.send(Buffer.from([22, 3, 1, 255, 255, 1, 2, 3]));
      await failed;
      const startedAt = world.now();
      await there.reactor.close({ timeoutMs: 20 });
      expect(world.now() - startedAt).toBeLessThanOrEqual(20 + TICK_MS);
      expect(there.host.openDescriptors).toBe(0);
      client.abort();
    });
  });

  it('an alert reaches the peer after ENOBUFS although its connection is closed', async () => {
    const contexts = await contextsFor(version);
    const trusting = await TlsContext.client({
      ca: { pem: selfSigned().certificate },
      protocols: { min: version, max: version },
    });
    const noMemory: Fault = { kind: 'errno', code: 'ENOBUFS' };
    // The sends are: the client hello, the server's flight, the alert, and the alert again.
    await simulate({ faults: { send: [PASS, PASS, noMemory, noMemory] } }, async (world) => {
      const [here, there] = [world.machine('here'), world.machine('there')];
      const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
      const reported = new Promise<Error>((resolve) => listener.once('clientError', resolve));
      listener.serve({ secure: contexts.server }, () => undefined);
      await expect(here.reactor.connectSecure({ host: 'there', port: 7, secure: trusting })).rejects.toBeInstanceOf(
        CertificateError,
      );
      expect(await reported).toMatchObject({ name: 'TlsError', side: 'remote', alert: 48 });
    });
  });

  it('bytes are sent again after ENOBUFS although no other event happens', async () => {
    const contexts = await contextsFor(version);
    await simulate(
      { link: { latencyMs: 1 }, faults: { send: [{ kind: 'errno', code: 'ENOBUFS' }] } },
      async (world) => {
        const [here, there] = [world.machine('here'), world.machine('there')];
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
        listener.serve({ secure: contexts.server }, (connection) => connection.send('welcome\n').then(() => undefined));
        const client = await here.reactor.connectSecure({ host: 'there', port: 7, secure: contexts.client });
        expect(await client.receive()).toBe('welcome');
      },
    );
  });
});

describe("a reset after the peer's end", () => {
  it.each([true, false])('leaves the end clean for a receive, with a "broken" listener: %s', (listens) =>
    simulate({ link: { latencyMs: 1 } }, async (world) => {
      const { client, server } = await pairIn(world);
      const emitted: unknown[] = [];
      if (listens) client.on('broken', (error) => emitted.push(error));
      await server.send('all');
      await server.shutdown('send');
      await world.sleep(5);
      server.abort();
      await world.sleep(5);
      expect(Buffer.from(await client.receive('*a')).toString()).toBe('all');
      expect(emitted).toMatchObject(listens ? [{ code: 'EPIPE' }] : []);
      client.abort();
    }).then(() => undefined),
  );

  it('is emitted to a "broken" listener although a send has reported it first', () =>
    simulate({ link: { latencyMs: 1 } }, async (world) => {
      const { client, server } = await pairIn(world);
      const emitted: unknown[] = [];
      client.on('broken', (error) => emitted.push(error));
      await server.shutdown('send');
      await world.sleep(10);
      server.abort();
      await world.sleep(1);
      for (let turn = 0; turn < 3; turn++) {
        expect(() => client.trySend(Buffer.from('x'))).toThrow(expect.objectContaining({ code: 'EPIPE' }) as Error);
        await world.sleep(0);
      }
      await world.sleep(10);
      expect(emitted).toMatchObject([{ code: 'EPIPE' }]);
      expect(client.signal.aborted).toBe(true);
      client.abort();
    }).then(() => undefined));
});

describe('when a write fails, a stream with a reader', () => {
  /** A stream whose buffer holds `first ` and has no room for `second`, which waits in the connection. */
  const filled = async (world: World, client: Connection, server: Connection): Promise<ConnectionStream> => {
    const stream = toDuplex(client, { highWaterMark: 4 });
    stream.read(0);
    for (const piece of ['first ', 'second']) {
      await server.send(piece);
      await world.sleep(10);
    }
    return stream;
  };

  /** Reads the rest after a write has failed. @returns the text, and then the events of the stream. */
  const readOut = async (world: World, stream: ConnectionStream): Promise<string[]> => {
    const events: string[] = [];
    let text = '';
    stream
      .on('end', () => events.push('end'))
      .on('error', ({ name }) => events.push(name))
      .on('close', () => events.push('close'));
    for (let turn = 0; turn < 10; turn++) {
      const piece = stream.destroyed ? null : (stream.read() as Buffer | null);
      if (piece !== null) text += piece.toString();
      await world.sleep(5);
    }
    return [text, ...events];
  };

  it.each([
    ['plain', false],
    ['TLS', true],
  ])('delivers all bytes that have arrived before it emits the timeout, over %s', async (_, isSecure) => {
    const contexts = isSecure ? await contextsFor('TLSv1.3') : undefined;
    await simulate({}, async (world) => {
      const { client, server } = await pairIn(world, { sendBuffer: 1_000, receiveBuffer: 1_000 }, contexts);
      await Promise.all([client.handshake(), server.handshake()]);
      const stream = await filled(world, client, server);
      client.setTimeout(50);
      let written: unknown = 'not yet';
      stream
        .on('error', () => undefined)
        .write(new Uint8Array(100_000), (error) => {
          written = error;
        });
      await world.sleep(200);
      expect(await readOut(world, stream)).toEqual(['first second', 'OperationTimeoutError', 'close']);
      expect(written).toMatchObject({ name: 'OperationTimeoutError', operation: 'send' });
      server.abort();
    });
  });

  it('emits the error although the peer stays connected and sends nothing', () =>
    simulate({ faults: { send: [{ kind: 'errno', code: 'EPIPE' }] } }, async (world) => {
      const { client, server } = await pairIn(world);
      const stream = toDuplex(client);
      stream.on('data', () => undefined);
      await world.sleep(1);
      let written: unknown = 'not yet';
      stream.write('x', (error) => {
        written = error;
      });
      expect(await readOut(world, stream)).toEqual(['', 'SystemError', 'close']);
      expect(written).toMatchObject({ code: 'EPIPE' });
      server.abort();
    }).then(() => undefined));

  it("emits the peer's alert, which arrived after data, as the error", () =>
    simulate({}, async (world) => {
      const { client, server } = await pairIn(world, {}, await contextsFor('TLSv1.3'));
      await Promise.all([client.handshake(), server.handshake()]);
      const stream = await filled(world, client, server);
      const refused = server.receive().catch(() => undefined);
      client.basis.socket.write(badRecord);
      await refused;
      server.abort();
      await world.sleep(10);
      let emitted: unknown;
      stream
        .on('error', (error) => {
          emitted = error;
        })
        .write('x');
      await world.sleep(10);
      expect(await readOut(world, stream)).toEqual(['first second', 'TlsError', 'close']);
      expect(emitted).toMatchObject({ alert: 20, side: 'remote' });
    }).then(() => undefined));
});

describe('a relay', () => {
  it('rejects with the alert that arrived after data, although a send to that side has failed before', () =>
    contextsFor('TLSv1.3')
      .then((contexts) =>
        simulate({ link: { latencyMs: 1 } }, async (world) => {
          const small = { sendBuffer: 100, receiveBuffer: 100 };
          const [left, here, there] = [
            world.machine('left', small),
            world.machine('here', small),
            world.machine('there'),
          ];
          const [front, back] = await Promise.all(
            [here, there].map(({ reactor }) => reactor.listen({ host: '0.0.0.0', port: 7 })),
          );
          const [user, first] = await Promise.all([left.reactor.connect({ host: 'here', port: 7 }), front.accept()]);
          const [below, peer] = await Promise.all([here.reactor.connect({ host: 'there', port: 7 }), back.accept()]);
          const [second, upstream] = [
            below.secure(contexts.client, { serverName: 'there' }),
            peer.secure(contexts.server),
          ];
          await Promise.all([second.handshake(), upstream.handshake()]);
          const done = new Relay(first, second).done.catch((error: unknown) => error);
          await upstream.send(new Uint8Array(700));
          await world.sleep(100);
          const refused = upstream.receive().catch(() => undefined);
          for (let rest = badRecord; rest.length > 0; await world.sleep(5))
            rest = rest.subarray(Math.max(0, below.basis.socket.write(rest)));
          await refused;
          upstream.abort();
          await world.sleep(5);
          await user.send('more\n');
          await world.sleep(50);
          await expect(user.receive('*a')).rejects.toMatchObject({ code: 'ECONNRESET', partial: new Uint8Array(700) });
          expect(await done).toMatchObject({ name: 'TlsError', alert: 20, side: 'remote' });
        }),
      )
      .then(() => undefined));
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a send over %s', (version) => {
  it('fails when a reset discards its encrypted bytes, although no receive runs', () =>
    simulate({ link: { latencyMs: 1 } }, async (world) => {
      const { client, server } = await pairIn(
        world,
        { sendBuffer: 1_000, receiveBuffer: 1_000 },
        await contextsFor(version),
      );
      await Promise.all([client.handshake(), server.handshake()]);
      const sending = client.send(new Uint8Array(60_000));
      await world.sleep(100);
      expect(client.transport.hasUnflushed).toBe(true);
      server.abort();
      await expect(sending).rejects.toMatchObject({ code: 'ECONNRESET' });
      await expect(client.send('')).rejects.toMatchObject({ code: 'ECONNRESET' });
      client.abort();
    }).then(() => undefined));
});

describe('a stream whose connection is aborted in the turn in which it received bytes', () => {
  it.each([
    ['flows', false],
    ['is not read', true],
  ])('delivers the bytes before it emits the error, when it %s', (_, isPaused) =>
    simulate({}, async (world) => {
      const { client, server } = await pairIn(world, { receiveBuffer: 1_000, sendBuffer: 1_000 });
      const events: string[] = [];
      const stream = toDuplex(client)
        .on('error', ({ message }) => events.push(message))
        .on('close', () => events.push('close'));
      if (isPaused) stream.read(0);
      else stream.on('data', (data: Buffer) => events.push(data.toString()));
      // In each turn the connection first receives and then sends.
      const sending = client.send(new Uint8Array(100_000));
      sending.progress$.subscribe(() => {
        if (client.statistics.bytesIn > 0) client.abort(new Error('broken'));
      });
      await world.sleep(1);
      server.trySend(Buffer.from('last words'));
      server.tryReceive();
      await expect(sending).rejects.toThrow('broken');
      await world.sleep(1);
      if (isPaused) {
        expect(events).toEqual([]);
        events.push(String(stream.read()));
        await world.sleep(1);
      }
      expect(events).toEqual(['last words', 'broken', 'close']);
      server.abort();
    }).then(() => undefined),
  );
});

describe('during renegotiations, key updates and certificate requests', () => {
  const authority = new Authority();
  const site = authority.issue({ names: ['there'] });
  const person = authority.issue({ names: ['someone.test'] });

  type Acting = (end: SecureConnection) => Promise<unknown>;

  /** Each end runs its acts in order, while both ends receive until the end of the stream. Then both half-close. */
  async function run(
    version: 'TLSv1.2' | 'TLSv1.3',
    plan: { link: object; buffers: object; bytes?: [number, number] },
    ofClient: readonly Acting[],
    ofServer: readonly Acting[],
  ): Promise<void> {
    const common = {
      protocols: { min: version, max: version },
      ca: { pem: authority.pem },
      allowPeerRenegotiations: 9,
    };
    const contexts = {
      client: await TlsContext.client({
        ...common,
        certificate: { pem: person.certificate },
        key: { pem: person.key },
      }),
      server: await TlsContext.server({ ...common, certificate: { pem: site.certificate }, key: { pem: site.key } }),
    };
    await simulate({ link: plan.link }, async (world) => {
      const { client, server } = await pairIn(world, plan.buffers, contexts);
      const ends = [client, server].map((end) => {
        if (!(end instanceof SecureConnection)) throw new Error('the connection is not secure');
        return end;
      });
      await Promise.all(ends.map((end) => end.handshake()));
      const receives = ends.map((end) => end.receive('*a'));
      await Promise.all(
        ends.map(async (end, side) => {
          const sending = end.send(new Uint8Array(plan.bytes?.[side] ?? 0));
          for (const act of [ofClient, ofServer][side]) await act(end);
          await sending;
        }),
      );
      await Promise.all(ends.map((end) => end.shutdown('send')));
      expect((await Promise.all(receives)).map(({ length }) => length)).toEqual([
        plan.bytes?.[1] ?? 0,
        plan.bytes?.[0] ?? 0,
      ]);
    });
  }

  const renegotiate: Acting = (end) => end.renegotiate();
  const updateKeys: Acting = (end) => end.updateKeys();
  const request: Acting = (end) => end.requestClientCertificate();

  it('a half-close waits for the running renegotiation', () =>
    run(
      'TLSv1.2',
      { link: { segment: 17, latencyMs: 0 }, buffers: { sendBuffer: 65, receiveBuffer: 65 } },
      [],
      [renegotiate],
    ));

  it('a renegotiation succeeds when both sides ask for it and the requests cross', () =>
    run(
      'TLSv1.2',
      { link: { segment: 17, latencyMs: 1 }, buffers: { sendBuffer: 65, receiveBuffer: 1 } },
      [renegotiate],
      [renegotiate],
    ));

  it('a send continues while only half of the client certificate has arrived', () =>
    run(
      'TLSv1.3',
      { link: { segment: 17, latencyMs: 1 }, buffers: { sendBuffer: 27, receiveBuffer: 65 }, bytes: [1_589, 2_803] },
      [],
      [updateKeys, request],
    ));

  it('a certificate request is not lost when a key update is answered', () =>
    run(
      'TLSv1.3',
      { link: { segment: 17, latencyMs: 0 }, buffers: { sendBuffer: 65, receiveBuffer: 65 } },
      [updateKeys],
      [request, updateKeys],
    ));

  it('no record follows a close_notify, even when OpenSSL has another answer to send', () =>
    run(
      'TLSv1.3',
      { link: { segment: 1, latencyMs: 0 }, buffers: { sendBuffer: 1, receiveBuffer: 1 } },
      [updateKeys, updateKeys],
      [updateKeys],
    ));

  it('a renegotiation that fails is reported after the bytes that arrived before it', () =>
    simulate({ link: { latencyMs: 10 } }, async (world) => {
      const { client, server, there } = await pairIn(world, {}, await contextsFor('TLSv1.2'));
      if (!(server instanceof SecureConnection)) throw new Error('the end is not secure');
      await Promise.all([client.handshake(), server.handshake()]);
      await client.send('ab');
      const answering = client.receive().catch(() => undefined);
      // The client refuses the renegotiation.
      await expect(server.renegotiate()).rejects.toMatchObject({ reason: 'no renegotiation' });
      const failedAt = world.now();
      expect(server.closed).toBe(false);
      for (const letter of ['a', 'b']) {
        await there.reactor.select({ read: [server] });
        expect(Buffer.from(server.tryReceive(1) as Uint8Array).toString()).toBe(letter);
      }
      await there.reactor.select({ read: [server] });
      expect(() => server.tryReceive(1)).toThrow(expect.objectContaining({ reason: 'no renegotiation' }) as Error);
      expect([server.closed, world.now()]).toEqual([true, failedAt]);
      client.abort();
      await answering;
    }).then(() => undefined));
});
