/** A program as the peer of one connection. */

import { portOf } from '../../../reactor/testing/with-reactor.ts';
import type { Connection } from '../../../reactor/connections/connection.ts';
import type { SecureConnection } from '../../tls/secure-connection.ts';
import type { Layer } from './pair.ts';
import { Program } from './program.ts';
import type { SecureReactor } from './secure-reactor.ts';

export const host = '127.0.0.1';

/** Calls `start`, whose program connects to the given port; @returns the program and our end, before the handshake. */
export async function visit(
  secure: SecureReactor,
  server: Layer,
  start: (port: number) => Program,
): Promise<{ program: Program; connection: SecureConnection }> {
  const { program, connection } = await visitPlain(secure, start);
  return { program, connection: connection.secure(server) };
}

/** Like `visit`, without TLS. */
export async function visitPlain(
  { reactor }: SecureReactor,
  start: (port: number) => Program,
): Promise<{ program: Program; connection: Connection }> {
  const listener = await reactor.listen({ host, port: 0 });
  const program = start(portOf(listener));
  const connection = await listener.accept();
  listener.close();
  return { program, connection };
}

/**
 * Runs `openssl s_client`, with the server name `localhost` unless `args` say otherwise. It sends its standard input;
 * what it receives appears in its output.
 */
export function sClient(port: number, ...args: string[]): Program {
  return new Program(
    'openssl',
    's_client',
    '-connect',
    `${host}:${String(port)}`,
    ...(args.includes('-noservername') || args.includes('-servername') ? [] : ['-servername', 'localhost']),
    ...args,
  );
}

/** Runs `openssl s_server`; @returns it when it listens. */
export async function sServer(...args: string[]): Promise<{ program: Program; port: number }> {
  const program = new Program('openssl', 's_server', '-accept', `${host}:0`, ...args);
  return { program, port: Number((await program.says(/ACCEPT \S*?:(\d+)/))[1]) };
}

/** Connects to a program and adds TLS; @returns the connection before the handshake. */
export async function call(
  { reactor }: SecureReactor,
  port: number,
  client: Layer,
  serverName = 'localhost',
): Promise<SecureConnection> {
  return (await reactor.connect({ host, port })).secure(client, { serverName });
}

/** Sends a line each way. The program must send its input and print what it receives. */
export async function chat(connection: SecureConnection, program: Program): Promise<void> {
  program.write('to you\n');
  const heard = await connection.receive();
  if (heard !== 'to you') throw new Error(`received ${heard}`);
  await connection.send('and back to you\n');
  await program.saysNext(/and back to you/);
}

/** Ends the connection from both sides, the program first. @returns the program's exit code. */
export async function part(connection: SecureConnection, program: Program): Promise<number | null> {
  program.end();
  const rest = await connection.receive('*a');
  if (rest.length > 0) throw new Error(`the program sent more data: ${String(rest)}`);
  await connection.close();
  return program.exit();
}
