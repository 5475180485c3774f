import { describe, expect, test } from 'vitest';

import {
  AbortError,
  BoundsError,
  BusyError,
  ClosedError,
  OperationTimeoutError,
  SystemError,
  TruncatedError,
  UnsupportedError,
  WantioError,
} from './errors.ts';

const ALL = [
  new WantioError('ERR_WANTIO_X', 'x'),
  new OperationTimeoutError('send', 'block', 1, 'write'),
  new ClosedError('x'),
  new TruncatedError('x'),
  new BusyError('send', 'send'),
  new BoundsError('the line', 'maxBytes', 1),
  new AbortError('send', 'reason'),
  new SystemError('ECONNRESET', 104, 'recv', 'Connection reset by peer'),
  new UnsupportedError('x'),
];

test.each(ALL.map((error) => [error.constructor.name, error] as const))(
  '%s extends WantioError, and its name is that of its class',
  (name, error) => {
    expect(error).toBeInstanceOf(WantioError);
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe(name);
    expect(error.stack).toContain(name);
  },
);

test('each error has its stable code', () => {
  expect(ALL.map((error) => error.code)).toEqual([
    'ERR_WANTIO_X',
    'ERR_WANTIO_TIMEOUT',
    'ERR_WANTIO_CLOSED',
    'ERR_WANTIO_TRUNCATED',
    'ERR_WANTIO_BUSY',
    'ERR_WANTIO_BOUNDS',
    'ERR_WANTIO_ABORTED',
    'ECONNRESET',
    'ERR_WANTIO_UNSUPPORTED',
  ]);
});

describe('the message of a timeout names the operation, the limit and the direction', () => {
  test.each([
    [
      new OperationTimeoutError('handshake', 'block', 250, 'read'),
      'handshake timed out (block 250 ms) waiting to read',
    ],
    [new OperationTimeoutError('send', 'total', 1_000, 'write'), 'send timed out (total 1000 ms) waiting to write'],
    [
      new OperationTimeoutError('handshake', 'total', 0, 'lookup'),
      'handshake timed out (total 0 ms) waiting for a look-up',
    ],
    [new OperationTimeoutError('connect', 'total', 5, null), 'connect timed out (total 5 ms)'],
  ])('%s', (error, message) => {
    expect(error.message).toBe(message);
  });
});

test('a timeout has the mode of its limit and the want of its wait', () => {
  expect(new OperationTimeoutError('send', 'total', 1_000, 'write')).toMatchObject({
    operation: 'send',
    mode: 'total',
    want: 'write',
  });
});

test('the message of a BusyError names both operations', () => {
  const error = new BusyError('send', 'shutdown');
  expect(error.message).toBe('send refused: a shutdown is still running in that direction; await it first');
  expect(error.operation).toBe('send');
});

test('a BoundsError names the option that sets the bound', () => {
  const error = new BoundsError('the line', 'maxBytes', 4096);
  expect(error.message).toBe('the line is longer than 4096 bytes (option maxBytes)');
  expect(error).toMatchObject({ option: 'maxBytes', limit: 4096 });
});

test('an AbortError has the reason as its cause, whatever value that is', () => {
  expect(new AbortError('receive', 'tired')).toMatchObject({
    cause: 'tired',
    operation: 'receive',
    message: 'receive was cancelled',
  });
});

test('a system error has the code, the errno and the call, and its message contains the subject', () => {
  const error = new SystemError('ECONNRESET', 104, 'recv', 'Connection reset by peer', '127.0.0.1:80');
  expect(error.message).toBe('recv ECONNRESET: Connection reset by peer (127.0.0.1:80)');
  expect(error).toMatchObject({ code: 'ECONNRESET', errno: 104, syscall: 'recv' });
});

test('the message of a system error without a subject contains none', () => {
  expect(new SystemError('EMFILE', 24, 'accept4', 'Too many open files').message).toBe(
    'accept4 EMFILE: Too many open files',
  );
});

test('an error without progress has no last, rest, partial or operation', () => {
  const error = new ClosedError('x');
  expect([error.last, error.rest, error.partial, error.operation]).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
