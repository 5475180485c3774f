import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { compiledOf } from '../reactor/testing/compiled.ts';
import { portOf } from '../reactor/testing/with-reactor.ts';
import { certificateFiles, Program } from './testing/tls/program.ts';
import { withSecureReactor } from './testing/tls/secure-reactor.ts';

const PLAIN = 8_000;
const SECURE = 2_000;

describe('one reactor', () => {
  it(
    'serves 10,000 connections at once without mixing them up, and releases everything',
    () =>
      withSecureReactor(async ({ reactor, server }) => {
        const echo = { timeouts: { blockMs: 60_000 }, handshakeMs: 60_000 };
        const plain = await reactor.listen({ host: '127.0.0.1', port: 0 });
        plain.serve(echo, async (connection) => {
          for await (const line of connection.lines()) await connection.send(`${line}\n`);
        });
        const secure = await reactor.listen({ host: '127.0.0.1', port: 0 });
        secure.serve({ ...echo, secure: await server() }, async (connection) => {
          for await (const line of connection.lines()) await connection.send(`${line}\n`);
        });
        const script = fileURLToPath(new URL('testing/many-clients.ts', import.meta.url));
        const clients = new Program(
          process.execPath,
          compiledOf(script),
          String(portOf(plain)),
          String(PLAIN),
          String(portOf(secure)),
          String(SECURE),
          certificateFiles().certificate,
        );
        await clients.says(/^connected 10000$/m);
        expect(reactor.connections.size).toBe(PLAIN + SECURE);
        clients.end();
        await clients.says(/^right 10000$/m);
        expect(await clients.exit()).toBe(0);
      }),
    120_000,
  );
});
