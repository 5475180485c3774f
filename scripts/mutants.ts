/** Bugs to plant: each is one change of one place, and some law must catch it. */

/** One planted bug. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

export const MUTANTS: readonly Mutant[] = [
  { name: 'off by one in last', file: 'core/send.ts', find: 'return { last: this.#next - 1,', replace: 'return { last: this.#next,' },
  { name: 'send does not wait for the flush', file: 'core/send.ts', find: 'return this.#outflow.flush();', replace: 'return -5;' },
  { name: 'rest is not the tail', file: 'core/send.ts', find: 'for (let at = this.#next; at < this.#end;', replace: 'for (let at = this.#next; at < this.#end - 1;' },
  { name: 'block not renewed', file: 'core/operation.ts', find: 'this.#venue.deadlines.arm(this.#deadline, now + budget);', replace: 'if (!this.#deadline.armed) this.#venue.deadlines.arm(this.#deadline, now + budget);' },
  { name: 'total renewed', file: 'core/timeouts.ts', find: 'const left = this.#endsAt - now;', replace: 'const left = this.#totalMs;' },
  { name: 'wrong limit named', file: 'core/timeouts.ts', find: "<= this.#blockMs ? 'total' : 'block'", replace: "> this.#blockMs ? 'total' : 'block'" },
  { name: 'timer not cancelled', file: 'core/operation.ts', find: 'this.want = null;\n    if (this.#deadline !== undefined) this.#venue.deadlines.cancel(this.#deadline);', replace: 'this.want = null;' },
  { name: 'signal not heard while waiting', file: 'core/operation.ts', find: "else signal.addEventListener('abort', this.#onAbort, { once: true });", replace: '' },
  { name: 'search goes on too far', file: 'core/input-buffer.ts', find: 'this.#searched = found < 0 ? this.#end : from + found;', replace: 'this.#searched = found < 0 ? this.#end : from + found + 1;' },
  { name: 'search not begun anew after a prepend', file: 'core/input-buffer.ts', find: 'this.#bytes.set(chunk, this.#start);\n    this.#searchedFor = -1;', replace: 'this.#bytes.set(chunk, this.#start);' },
  { name: 'bound off by one', file: 'core/pattern.ts', find: 'if (length > maxBytes ||', replace: 'if (length >= maxBytes ||' },
  { name: 'only the first CR removed', file: 'core/pattern.ts', find: "text.replaceAll('\\r', '')", replace: "text.replace('\\r', '')" },
  { name: 'one byte more than asked for', file: 'core/pattern.ts', find: 'input.length >= wanted ? wanted', replace: 'input.length > wanted ? wanted' },
  { name: 'deadline early', file: 'core/deadlines.ts', find: 'Math.ceil(deadline.at)', replace: 'Math.floor(deadline.at) - 1' },
  { name: 'deadline one tick late', file: 'core/deadlines.ts', find: 'if (startsAt > target) {', replace: 'if (startsAt >= target) {' },
  { name: 'partial not taken out', file: 'core/receive.ts', find: 'return { partial: this.#inflow.input.take(this.#taken) };', replace: 'const partial = this.#inflow.input.take(this.#taken);\n    this.#inflow.input.prepend(partial);\n    return { partial };' },
  { name: 'want confused by the socket', file: 'reactor/socket-transport.ts', find: '    return WANT_WRITE;', replace: '    return WANT_READ;' },
  { name: 'abort is a polite close', file: 'reactor/socket-transport.ts', find: "this.#calls.setOption(this.handle.fd, 'linger', 0);", replace: '' },
  { name: 'descriptor not closed', file: 'reactor/socket-transport.ts', find: 'this.handle.readiness = 0;\n    this.#calls.close(this.handle.fd);', replace: 'this.handle.readiness = 0;' },
  { name: 'half-close lost by the socket', file: 'reactor/socket-transport.ts', find: 'const result = this.#calls.shutdown(this.handle.fd, 1);', replace: 'const result = 0;' },
  { name: 'a send wakes by the wrong readiness', file: 'reactor/connection.ts', find: "case 'write':\n        return (readiness & WRITABLE) !== 0;", replace: "case 'write':\n        return (readiness & READABLE) !== 0;" },
  { name: 'a handshake that another operation finished is missed', file: 'reactor/connection.ts', find: ' || this.transport.received !== operation.receivedBefore', replace: '' },
  { name: 'held-back bytes forgotten', file: 'reactor/connection.ts', find: '(this.transport.hasUnflushed && (this.basis.socket.handle.readiness & WRITABLE) !== 0) ||', replace: '' },
  { name: 'operations of a closed connection hang', file: 'reactor/connection.ts', find: 'operation?.fail(this.#closedError(operation.name));', replace: 'if (operation === undefined) continue;' },
  { name: 'place in the ready queue lost', file: 'reactor/connection.ts', find: 'if (this.#isDue) this.basis.reactor.enqueue(this.basis.socket.handle);\n  }\n\n  get #hasInput', replace: '}\n\n  get #hasInput' },
  { name: 'closed connection still held', file: 'reactor/reactor.ts', find: 'if (known) this.release();', replace: '' },
  { name: 'a lost connect attempt leaks', file: 'reactor/connect.ts', find: 'for (const attempt of this.#attempts) attempt.close();', replace: '' },
  { name: 'accepting does not go on after a shortage', file: 'reactor/listener.ts', find: 'this.#cancelPause = undefined;\n      this.#resume();', replace: '' },
  { name: 'decrypted bytes ignored', file: 'protocols/tls/tls-transport.ts', find: 'this.#holds = count === into.length || this.#ciphertext.holds;', replace: 'this.#holds = false;' },
  { name: 'data behind the handshake ignored', file: 'protocols/tls/tls-transport.ts', find: '// Data may have come along with the last flight.\n    this.#holds = true;', replace: 'this.#holds = false;' },
  { name: 'pending ciphertext overwritten', file: 'protocols/tls/ciphertext.ts', find: 'this.#pending = this.#pending === undefined ? rest.slice() : rest;', replace: 'this.#pending = rest;' },
  { name: 'truncation not told', file: 'protocols/tls/ciphertext.ts', find: 'this.ended = true;\n      // From now', replace: 'this.ended = true;\n      return -1 as StepCode;\n      // From now' },
  { name: 'no close_notify', file: 'protocols/tls/tls-transport.ts', find: 'if (this.#openssl.SSL_shutdown(this.#ssl) < 0) this.#openssl.ERR_clear_error();', replace: '' },
  { name: 'a rest of the relay not copied', file: 'protocols/pump.ts', find: 'this.#rest = shared.slice(sent, count);', replace: 'this.#rest = shared.subarray(sent, count);' },
  { name: 'the relay does not pass on an end', file: 'protocols/pump.ts', find: "this.#to.shutdown('send', { timeouts: { blockMs: undefined, totalMs: undefined } }).then(", replace: 'Promise.resolve().then(' },
  { name: 'the relay ends with its first direction', file: 'protocols/relay.ts', find: 'if (--this.#open === 0)', replace: 'if (--this.#open === 1)' },
  { name: 'the relay miscounts', file: 'protocols/pump.ts', find: 'this.bytes += sent;', replace: 'this.bytes += bytes.length;' },
  { name: 'stale news reach the next owner of a number', file: 'reactor/epoll/epoll-selector.ts', find: ' || handle.generation !== words[word + DATA_WORD + 1]', replace: '' },
  { name: 'news of a closed descriptor are told', file: 'reactor/simulated/simulated-selector.ts', find: '    this.#news.delete(handle);\n', replace: '' },
  { name: 'a delayed fault wakes the next owner of a number', file: 'reactor/faults/fault-injector.ts', find: 'if (handle === undefined || this.#handles.get(fd) !== handle) return;', replace: 'if (handle === undefined) return;\n      const next = this.#handles.get(fd) ?? handle;\n      this.#again.set(next, (this.#again.get(next) ?? 0) | readiness);' },
  { name: 'a closed connection is still dispatched', file: 'reactor/connection.ts', find: '    this.basis.socket.handle.owner = undefined;\n    this.#leave(error);', replace: '    this.#leave(error);' },
  { name: 'a close goes on after an abort', file: 'reactor/connection.ts', find: '      if (this.closed) return;\n', replace: '' },
  { name: 'a reset that a send was told of looks like an end', file: 'reactor/socket-transport.ts', find: 'if (count !== -EPIPE) this.#broken = error;', replace: '' },
  { name: 'an alert that was not taken is forgotten', file: 'reactor/linger.ts', find: 'if ((this.#socket.handle.readiness & WRITABLE) !== 0) this.#reactor.enqueue(this.#socket.handle);', replace: '' },
  { name: 'the reserve descriptor is not taken back', file: 'reactor/reserve-descriptor.ts', find: 'this.#fd = this.#calls.reserve();\n  }\n\n  close', replace: '}\n\n  close' },
  { name: 'a relay reads on while its rest waits', file: 'protocols/pump.ts', find: '          this.#wait(this.#to.writable$, this.#unclog);\n          return;', replace: '          this.#wait(this.#to.writable$, this.#unclog);\n          continue;' },
  { name: 'data before a new handshake lost', file: 'protocols/tls/tls-transport.ts', find: '(this.#surplus ??= new InputBuffer()).append(data.subarray(0, count));', replace: '' },
  { name: 'a write runs the handshake by itself', file: 'protocols/tls/tls-transport.ts', find: 'if (this.negotiation.handshaking || (this.#finishedBefore !== undefined && !this.#hasShakenHands())) {', replace: 'if (this.failure !== undefined) {' },
  { name: 'a renegotiation begun inside of a record', file: 'protocols/tls/tls-transport.ts', find: 'if (!this.#hasShakenHands() || this.#openssl.SSL_has_pending(this.#ssl) !== 0) return;', replace: '' },
  { name: 'records after the goodbye', file: 'protocols/tls/tls-transport.ts', find: '      this.#ciphertext.isFinal = true;\n', replace: '' },
  { name: 'a demand for a certificate behind a key update forgotten', file: 'protocols/tls/tls-transport.ts', find: '    if (this.#openssl.SSL_get_key_update_type(this.#ssl) !== c.SSL_KEY_UPDATE_NONE) this.updateKeys(false);\n', replace: '' },
  { name: 'the answer of a look-up not told', file: 'protocols/tls/tls-transport.ts', find: '    if (this.#ssl !== 0) this.#wake();\n', replace: '' },
  { name: 'an SSL object leaked when a context is chosen', file: 'protocols/tls/tls-transport.ts', find: '    answerNoMore(this.#ssl);\n    this.#openssl.SSL_free(this.#ssl);\n    this.#ssl = 0;', replace: '    answerNoMore(this.#ssl);\n    this.#ssl = 0;' },
  { name: 'a closed connection still answers', file: 'protocols/tls/tls-transport.ts', find: '    answerNoMore(this.#ssl);\n    // OpenSSL drops', replace: '    // OpenSSL drops' },
];
