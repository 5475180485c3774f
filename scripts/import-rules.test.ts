import { describe, expect, it } from 'vitest';
import { checkFile } from './import-rules.ts';

const entries = new Map([
  ['wantio', 'reactor/index.ts'],
  ['wantio/tls', 'protocols/tls/index.ts'],
]);

const messages = (path: string, text: string): string[] =>
  checkFile(path, text, entries).map(({ line, message }) => `${line}: ${message}`);

describe('checkFile', () => {
  it.each([
    ['reactor/connections/connection.ts', `import { drive } from '../core/drive.ts';`],
    ['protocols/tls/context/context.ts', `import type { Connection } from '../../reactor/connection.ts';`],
    ['property-tests/kit.ts', `export * from '../protocols/relay.ts';`],
    ['property-tests/kit.ts', `import { TlsContext } from 'wantio/tls';`],
    [
      'samples/echo.ts',
      `import { Reactor } from 'wantio';\nimport { once } from 'node:events';\nimport { map } from 'rxjs';`,
    ],
    ['benchmarks/run.ts', `import net from 'node:net';\nimport { Reactor } from '../reactor/index.ts';`],
    ['core/drive.test.ts', `import { setTimeout } from 'node:timers/promises';`],
    ['reactor/epoll/libc.ts', `import koffi from 'koffi';`],
    ['reactor/resolve.ts', `import { isIP as isAddress } from 'node:net';`],
    ['protocols/tls/roots.ts', `import { rootCertificates } from 'node:tls';`],
    [
      'protocols/https/request.ts',
      `import { request as httpRequest } from 'node:http';\nimport type { IncomingMessage } from 'node:http';`,
    ],
    ['samples/https-server.ts', `import { createServer } from 'node:http';`],
  ])('allows %s to contain %s', (path, text) => {
    expect(messages(path, text)).toEqual([]);
  });

  it.each([
    ['core/drive.ts', `import type { Reactor } from '../reactor/reactor.ts';`, 'core must not know reactor'],
    ['core/drive.test.ts', `import { Reactor } from '../reactor/reactor.ts';`, 'core must not know reactor'],
    [
      'reactor/connections/connection.ts',
      `const tls = await import('../../protocols/tls/index.ts');`,
      'reactor must not know protocols',
    ],
    [
      'reactor/connections/connection.ts',
      `let context: import('../../protocols/tls/context/context.ts').TlsContext;`,
      'reactor must not know protocols',
    ],
    [
      'reactor/connections/connection.ts',
      `export { TlsContext } from 'wantio/tls';`,
      'reactor must not know protocols',
    ],
    ['protocols/relay.ts', `import { kit } from '../property-tests/kit.ts';`, 'protocols must not know property-tests'],
    ['property-tests/kit.ts', `import '../samples/proxy.ts';`, 'property-tests must not know samples'],
    ['property-tests/kit.ts', `import '../benchmarks/run.ts';`, 'nothing imports benchmarks'],
    ['benchmarks/run.ts', `import '../samples/proxy.ts';`, 'benchmarks must not import samples'],
    ['samples/echo.ts', `import { Reactor } from '../reactor/index.ts';`, 'a sample imports what its users can'],
    ['samples/echo.ts', `import { x } from 'wantio/private';`, 'is not exported by package.json'],
    ['samples/echo.ts', `import net from 'node:net';`, `no 'node:net'`],
    ['reactor/duplex.ts', `import { Duplex } from 'node:stream';`, `no 'node:stream'`],
    ['reactor/resolve.ts', `import { isIP, connect } from 'node:net';`, 'only isIP'],
    ['protocols/tls/roots.ts', `import * as tls from 'node:tls';`, 'only rootCertificates'],
    ['protocols/https/request.ts', `import { request, Agent } from 'node:http';`, 'only request'],
    ['protocols/https/request.ts', `import http from 'node:http';`, 'only request'],
    ['protocols/https/request.ts', `import { request } from 'node:https';`, `no 'node:https'`],
    ['protocols/relay.ts', `import { request } from 'node:http';`, `no 'node:http'`],
    ['protocols/tls/https.ts', `import type { IncomingMessage } from 'node:http';`, `no 'node:http'`],
    ['reactor/https.ts', `import { request } from 'node:http';`, `no 'node:http'`],
    ['samples/echo.ts', `import { createServer } from 'node:http';`, `no 'node:http'`],
    ['reactor/connections/connection.ts', `import net from 'net';`, `write 'node:net'`],
    ['reactor/connections/connection.ts', `import koffi from 'koffi';`, 'koffi'],
    ['core/clock.ts', `import { performance } from 'node:perf_hooks';`, 'core has no I/O'],
  ])('does not allow %s to contain %s', (path, text, part) => {
    expect(messages(path, text)).toEqual([expect.stringContaining(part)]);
  });
});

describe('checkFile for core', () => {
  it.each([
    'Date.now()',
    'performance.now()',
    'new Date()',
    'setTimeout(f, 1)',
    'setImmediate(f)',
    'process.cwd()',
    'queue(process)',
  ])('does not allow %s', (text) => {
    expect(messages('core/drive.ts', text)).toHaveLength(1);
  });

  it('allows members and comments with these names', () => {
    expect(
      messages(
        'core/drive.ts',
        `/* Date.now() */ clock.setTimeout(1); const x = { process: 1 }; class A { setImmediate() {} }`,
      ),
    ).toEqual([]);
  });
});

it('checkFile reports the line of a violation', () => {
  expect(messages('core/a.ts', `\n\nimport '../reactor/b.ts';`)).toEqual([expect.stringMatching(/^3: /)]);
});
