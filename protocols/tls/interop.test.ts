import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect as tlsConnect, createServer as createTlsServer } from 'node:tls';

import { describe, expect, it } from 'vitest';

import type { Reactor } from '../../reactor/reactor.ts';
import { portOf } from '../../reactor/testing/with-reactor.ts';
import { Relay } from '../relay.ts';
import type { TlsContext, TlsVersion } from './context.ts';
import { certificateFiles, isInstalled, Program } from './testing/program.ts';
import { localhost, withSecureReactor } from './testing/secure-reactor.ts';

const host = '127.0.0.1';
const versions: readonly TlsVersion[] = ['TLSv1.2', 'TLSv1.3'];

/** A TLS server that sends each line back; @returns its port. */
async function echo(reactor: Reactor, secure: TlsContext): Promise<number> {
  const listener = await reactor.listen({ host, port: 0 });
  listener.serve({ secure, timeouts: { blockMs: 10_000 } }, async (connection) => {
    for await (const line of connection.lines()) await connection.send(`${line}\n`);
  });
  return portOf(listener);
}

describe.each(versions)('%s', (version) => {
  const protocols = { min: version, max: version };

  it('node:tls talks to our server', () => withSecureReactor(async ({ reactor, server }) => {
    const port = await echo(reactor, await server({ protocols }));
    const socket = tlsConnect({ host, port, servername: 'localhost', ca: localhost.certificate });
    await once(socket, 'secureConnect');
    expect(socket.getProtocol()).toBe(version);
    expect(socket.authorized).toBe(true);
    socket.write('hello from node\n');
    expect(String((await once(socket, 'data'))[0])).toBe('hello from node\n');
    socket.end();
    await once(socket, 'close');
  }));

  it('our client talks to a node:tls server, and both end with close_notify', () => withSecureReactor(async ({ reactor, client }) => {
    const server = createTlsServer({ cert: localhost.certificate, key: localhost.key, ALPNProtocols: ['b', 'a'] }, (socket) => { socket.pipe(socket); });
    server.listen(0, host);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const connection = await reactor.connectSecure({ host, port, secure: await client({ protocols, alpn: ['a', 'b'] }), serverName: 'localhost' });
    expect(connection.info()).toMatchObject({ protocol: version, serverName: 'localhost', alpn: 'b', mac: 'AEAD' });
    expect(connection.peerCertificate()?.checkHost('localhost')).toBe('localhost');
    await connection.send('line\n');
    expect(await connection.receive()).toBe('line');
    await connection.shutdown('send');
    expect((await connection.receive('*a')).length).toBe(0);
    await connection.close();
    server.close();
  }));

  it.skipIf(!isInstalled('openssl'))('openssl s_client talks to our server', () => withSecureReactor(async ({ reactor, server }) => {
    const port = await echo(reactor, await server({ protocols }));
    const { certificate } = certificateFiles();
    const program = new Program('openssl', 's_client', '-connect', `${host}:${String(port)}`, '-servername', 'localhost', '-CAfile', certificate, '-verify_return_error');
    await program.says(/Verify return code: 0 \(ok\)/);
    program.write('hello from s_client\n');
    await program.says(/\nhello from s_client/);
    program.end();
    expect(await program.exit()).toBe(0);
    expect(program.output).toContain(version);
  }));

  it.skipIf(!isInstalled('openssl'))('our client talks to openssl s_server', () => withSecureReactor(async ({ reactor, client }) => {
    const { certificate, key } = certificateFiles();
    const program = new Program('openssl', 's_server', '-accept', '0', '-cert', certificate, '-key', key, '-rev', version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3');
    const port = Number((await program.says(/ACCEPT \S*?:(\d+)/))[1]);
    const connection = await reactor.connectSecure({ host, port, secure: await client(), serverName: 'localhost' });
    expect(connection.info().protocol).toBe(version);
    await connection.send('desserts\n');
    expect(await connection.receive()).toBe('stressed');
    connection.abort();
    await program.kill();
  }));

  it.skipIf(!isInstalled('curl'))('curl talks through our proxy to a web server', () => withSecureReactor(async ({ reactor, server }) => {
    const web = createHttpServer((request, response) => { response.end(`you asked for ${String(request.url)}\n`); });
    web.listen(0, host);
    await once(web, 'listening');
    const upstream = (web.address() as AddressInfo).port;
    const listener = await reactor.listen({ host, port: 0 });
    listener.serve({ secure: await server({ protocols }) }, async (connection) => {
      await new Relay(connection, await reactor.connect({ host, port: upstream })).done;
    });
    const { certificate } = certificateFiles();
    const program = new Program('curl', '--silent', '--show-error', '--cacert', certificate, `https://localhost:${String(portOf(listener))}/page`);
    expect(await program.exit()).toBe(0);
    expect(program.output).toBe('you asked for /page\n');
    web.close();
  }));

  it.skipIf(!isInstalled('curl'))('curl talks to our server', () => withSecureReactor(async ({ reactor, server }) => {
    const listener = await reactor.listen({ host, port: 0 });
    listener.serve({ secure: await server({ protocols }) }, async (connection) => {
      const request = await connection.receive();
      await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${String(request.length)}\r\n\r\n${request}`);
    });
    const { certificate } = certificateFiles();
    const program = new Program('curl', '--silent', '--show-error', '--cacert', certificate, `https://localhost:${String(portOf(listener))}/`);
    expect(await program.exit()).toBe(0);
    expect(program.output).toBe('GET / HTTP/1.1');
  }));
});
