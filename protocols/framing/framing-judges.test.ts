// Independent implementations as judges: each reads what wantio sends, and wantio reads what each sends.

import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Transform } from 'node:stream';

import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';

import type { Framing } from '../../core/framing.ts';
import { withReactor } from '../../reactor/testing/with-reactor.ts';
import { netstrings, varintPrefixed } from './index.ts';

const require = createRequire(import.meta.url);
const stream = require('length-prefixed-stream') as Record<'encode' | 'decode', () => Transform>;
const netstring = require('netstring') as {
  nsWrite(payload: Buffer, start: number, end: number, into: Buffer, at: number): number;
  nsWriteLength(length: number): number;
  nsPayload(from: Buffer, at: number): Buffer;
  nsLength(from: Buffer, at: number): number;
};

type Bytes = Framing<Uint8Array, string | Uint8Array>;

/** Sizes around every change of the length of a prefix. */
const SIZES = [0, 1, 9, 10, 99, 100, 127, 128, 999, 16_383, 16_384, 70_000, 300_000];
const messages = SIZES.map((size) => Buffer.from(Uint8Array.from({ length: size }, (_, at) => (at * 31 + size) & 255)));

/** A judge: how it writes messages to a socket, and how it reads all messages of a socket. */
interface Judge {
  readonly framing: Bytes;
  /** Whether its reader leaves empty messages out. */
  readonly dropsEmpty?: boolean;
  write(socket: Socket): void;
  read(socket: Socket): Promise<Buffer[]>;
}

async function all(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

const judges: Record<string, Judge> = {
  'length-prefixed-stream': {
    framing: varintPrefixed(),
    dropsEmpty: true,
    write: (socket) => {
      const encoder = stream.encode();
      encoder.pipe(socket);
      for (const message of messages) encoder.write(message);
      encoder.end();
    },
    read: async (socket) => {
      const read: Buffer[] = [];
      const decoder = socket.pipe(stream.decode());
      decoder.on('data', (message: Buffer) => read.push(Buffer.from(message)));
      await once(socket, 'close');
      return read;
    },
  },
  'the delimited writer of protobufjs': {
    framing: varintPrefixed(),
    write: (socket) => {
      const writer = protobuf.Writer.create();
      // `bytes` writes a length as a varint and the bytes, as encodeDelimited does with a message.
      for (const message of messages) writer.bytes(message);
      socket.end(writer.finish());
    },
    read: async (socket) => {
      const reader = protobuf.Reader.create(await all(socket));
      const read = [];
      while (reader.pos < reader.len) read.push(Buffer.from(reader.bytes()));
      return read;
    },
  },
  netstring: {
    framing: netstrings(),
    write: (socket) => {
      for (const message of messages) {
        const into = Buffer.alloc(netstring.nsWriteLength(message.length));
        netstring.nsWrite(message, 0, message.length, into, 0);
        socket.write(into);
      }
      socket.end();
    },
    read: async (socket) => {
      const bytes = await all(socket);
      const read = [];
      for (let at = 0; at < bytes.length; at += netstring.nsLength(bytes, at))
        read.push(netstring.nsPayload(bytes, at));
      return read;
    },
  },
};

describe.each(Object.entries(judges))('%s', (_, { framing, dropsEmpty = false, write, read }) => {
  it('sends messages that wantio receives', () =>
    withReactor(async (reactor) => {
      const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
      const socket = connect(listener.port, '127.0.0.1');
      const connection = await listener.accept();
      write(socket);
      const received = [];
      for await (const message of connection.messages(framing)) received.push(Buffer.from(message));
      expect(received.map(({ length }) => length)).toEqual(SIZES);
      expect(received.every((message, index) => message.equals(messages[index]))).toBe(true);
      await connection.close();
      socket.destroy();
    }));

  it('receives the messages that wantio sends', () =>
    withReactor(async (reactor) => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const accepted = once(server, 'connection') as Promise<[Socket]>;
      const connection = await reactor.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
      const [socket] = await accepted;
      const reading = read(socket);
      for (const message of messages) await connection.sendMessage(framing, message);
      await connection.close();
      const received = await reading;
      const sent = dropsEmpty ? messages.filter(({ length }) => length > 0) : messages;
      expect(received.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
      expect(received.every((message, index) => message.equals(sent[index]))).toBe(true);
      server.close();
    }));
});
