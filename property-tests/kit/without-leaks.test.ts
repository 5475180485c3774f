import { describe, expect, it } from 'vitest';

import { TlsTransport } from '../../protocols/tls/tls-transport.ts';
import { selfSigned, TlsContext } from '../../protocols/tls/index.ts';
import type { Connection } from '../../reactor/connections/connection.ts';
import type { Reactor } from '../../reactor/reactor.ts';
import { LeakError } from './simulate.ts';
import { withoutLeaks } from './without-leaks.ts';

async function pairOf(reactor: Reactor): Promise<[Connection, Connection]> {
  const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
  const { port } = listener.address as { port: number };
  const pair = await Promise.all([reactor.connect({ host: '127.0.0.1', port }), listener.accept()]);
  listener.close();
  return pair;
}

describe('withoutLeaks', () => {
  it('resolves with the result of the scenario when nothing is left open', async () => {
    expect(
      await withoutLeaks(async (reactor) => {
        const [client, server] = await pairOf(reactor);
        await client.send('hello\n');
        const line = await server.receive();
        await Promise.all([client.close(), server.close()]);
        return line;
      }),
    ).toBe('hello');
  });

  it('names the connections and operations that are left', async () => {
    const leak = withoutLeaks(
      async (reactor) => {
        const [client] = await pairOf(reactor);
        client.receive().catch(() => undefined);
      },
      { timeoutMs: 20 },
    );
    await expect(leak).rejects.toBeInstanceOf(LeakError);
    await expect(leak).rejects.toThrow(
      /^not released: the connection with 127\.0\.0\.1:\d+, the connection with 127\.0\.0\.1:\d+, the operation receive, which wants to read$/,
    );
  });

  it('names descriptors that were not closed, or were closed although they were not open', async () => {
    await expect(withoutLeaks((reactor) => Promise.resolve(reactor.loop.ground.calls.socket('IPv4')))).rejects.toThrow(
      /^not released: 1 descriptors \(\d+\)$/,
    );
    await expect(
      withoutLeaks((reactor) => Promise.resolve(reactor.loop.ground.calls.close(1_000_000))),
    ).rejects.toThrow('descriptors closed that were not open: 1000000');
  });

  it('counts the deadlines and TLS objects that are left', async () => {
    await expect(withoutLeaks((reactor) => Promise.resolve(reactor.after(60_000, () => undefined)))).rejects.toThrow(
      'not released: 1 deadlines',
    );
    const { certificate, key } = selfSigned();
    const context = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });
    let transport: TlsTransport | undefined;
    await expect(
      withoutLeaks(async (reactor) => {
        const [client, server] = await pairOf(reactor);
        transport = new TlsTransport(server.transport, context.settings, {});
        client.abort();
        server.abort();
      }),
    ).rejects.toThrow('not released: 1 TLS objects');
    transport?.close();
    context.close();
  });

  it('rejects with the error of the scenario', async () => {
    await expect(
      withoutLeaks(async (reactor) => {
        await pairOf(reactor);
        throw new RangeError('of the scenario');
      }),
    ).rejects.toThrow('of the scenario');
  });
});
