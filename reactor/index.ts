/** wantio: the reactor, its connections and operations. */

export { TICK_MS } from '../core/clock.ts';
export type { Clock } from '../core/clock.ts';
export * from '../core/errors.ts';
export { Framing } from '../core/framing.ts';
export type { FramingInput } from '../core/framing.ts';
export { Operation } from '../core/operation.ts';
export type { OperationOptions } from '../core/operation.ts';
export { MORE } from '../core/pattern.ts';
export type { PatternName, Received } from '../core/pattern.ts';
export type { Sendable, SendRange } from '../core/send.ts';
export type { Direction } from '../core/shutdown.ts';
export type { TimeoutMode, Timeouts } from '../core/timeouts.ts';
export type { LayerOptions, TransportLayer } from '../core/transport-layer.ts';
export type { Transport } from '../core/transport.ts';
export * from '../core/want.ts';
export { formatAddress, parseTarget } from './addresses/address.ts';
export type { Address, Target } from './addresses/address.ts';
export { caresLookUp } from './addresses/cares-look-up.ts';
export { closeOnSignal } from './close-on-signal.ts';
export type { SignalOptions } from './close-on-signal.ts';
export type { ConnectOptions, ConnectSecureOptions } from './connecting/connect-options.ts';
export { Connection } from './connections/connection.ts';
export type { ConnectionBasis } from './connections/connection-basis.ts';
export type {
  ConnectionEvents,
  ConnectionStatistics,
  HandshakeOptions,
  ReceiveOptions,
  TryReceiveOptions,
} from './connections/connection-options.ts';
export type { Wanting } from './connections/slots.ts';
export { toDuplex } from './streams/to-duplex.ts';
export type { ConnectionStream, ToDuplexOptions } from './streams/to-duplex.ts';
export { epollGround } from './epoll/epoll-ground.ts';
export type { Ground } from './ground.ts';
export { Listener } from './listening/listener.ts';
export type { ListenerEvents, ListenOptions } from './listening/listener.ts';
export { abandonedLookUps } from './addresses/look-up.ts';
export type { ConnectionCloseOptions } from './connections/progress-watch.ts';
export { Reactor } from './reactor.ts';
export type { CloseOptions, ReactorEvents } from './reactor.ts';
export type { OperationSnapshot } from './roster.ts';
export type { Handle, HandleOwner } from './handle.ts';
export type { Selectable, Selected, Selection, SelectOptions } from './select.ts';
export type { Batch, Selector } from './selector.ts';
export type { Handler, ServeOptions } from './listening/serve.ts';
export type { SocketOptionName, SocketOptions } from './connections/socket-options.ts';
export { fromWebStreams, toWebStreams } from './streams/web-streams.ts';
export type { ToWebStreamsOptions, WebStreams } from './streams/web-streams.ts';
export { fromDuplex } from './streams/from-duplex.ts';
export type { FromDuplexOptions } from './streams/from-duplex.ts';
export type { PeerCredentials, SocketFile, SystemCalls } from './system-calls.ts';
