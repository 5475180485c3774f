/** Redis servers that a test starts and stops. */

import { join } from 'node:path';

import { Program } from '../tls/program.ts';
import { newFolder } from './folder.ts';

/** A running server that saves nothing to disk. */
export interface RedisServer {
  readonly port: number;
  readonly program: Program;
  stop(): Promise<void>;
}

/**
 * Starts a server that listens on 127.0.0.1 and on a Unix socket.
 * @param port the port of an earlier server that this one replaces; by default a free one.
 * @param args more of its configuration, such as `['--requirepass', 'secret']`.
 */
export async function startRedis({
  port,
  args = [],
}: { readonly port?: number; readonly args?: readonly string[] } = {}): Promise<
  RedisServer & { readonly socket: string }
> {
  const { folder, remove } = newFolder();
  const socket = join(folder, 'redis.sock');
  for (;;) {
    // This port and the cluster's second port, 10,000 above it, lie below the ephemeral ports, so that no outgoing
    // connection of this machine can occupy them.
    const candidate = port ?? 11_000 + Math.floor(Math.random() * 11_000);
    const program = new Program(
      'redis-server',
      '--bind',
      '127.0.0.1',
      '--port',
      String(candidate),
      '--unixsocket',
      socket,
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'no',
      '--daemonize',
      'no',
      ...args,
    );
    const stop = async (): Promise<void> => {
      await program.kill('SIGKILL');
      remove();
    };
    try {
      await program.says(/ready to accept connections/i);
      return { port: candidate, program, socket, stop };
    } catch (error) {
      if (port !== undefined || !/Address already in use/i.test(program.output)) {
        remove();
        throw error;
      }
    }
  }
}
