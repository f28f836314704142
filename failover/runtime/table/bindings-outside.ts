/**
 * Bindings that reach files, sockets, threads and other processes.
 * The form of the rows: binding-rows.ts.
 */
import type { BindingRows } from './binding-rows.js';

/** Bindings that reach files, sockets, threads and other processes. */
export const OUTSIDE: BindingRows = {
  blob: [
    ['unsupported', 'operation', 'fs.openAsBlob: read outside of events', `createBlobFromFilePath`],
    [
      'pure',
      '',
      'bytes in memory; they are given out in microtasks',
      `concat createBlob getDataObject revokeObjectURL storeDataObject`,
    ],
  ],
  block_list: [
    [
      'pure',
      '',
      'rules for addresses, in memory',
      `BlockList SocketAddress BlockList{addAddress addAddresses[24-] addRange addSubnet check checkString[24-]
      clear[24-] getRules getSize[24-] removeAddress[24-] removeRange[24-] removeSubnet[24-]}
      SocketAddress{detail flowlabel legacyDetail}`,
    ],
  ],
  cares_wrap: [
    [
      'pure',
      '',
      'computed from its arguments',
      `GetAddrInfoReqWrap GetNameInfoReqWrap QueryReqWrap canonicalizeIP convertIpv6StringToBuffer[22-]
      strerror`,
    ],
    [
      'operation',
      'runtime/operations/dns.ts',
      'the live replica asks the name server; its answer is an event',
      `ChannelWrap getaddrinfo getnameinfo ChannelWrap{getHostByAddr queryA queryAaaa queryAny queryCaa
      queryCname queryMx queryNaptr queryNs queryPtr querySoa querySrv queryTlsa[22-] queryTxt}`,
    ],
    ['leaks', 'sample', 'read from resolv.conf of the machine', `ChannelWrap{getServers}`],
    ['leaks', 'effect', 'act on the resolver of each replica', `ChannelWrap{cancel setLocalAddress setServers}`],
  ],
  fs: [
    [
      'operation',
      'runtime/fs',
      'asynchronous reads end with an event; synchronous ones are samples',
      `FSReqCallback access close existsSync fstat lstat open openFileHandle read readBuffers readFileUtf8
      readdir readlink realpath stat statfs`,
    ],
    [
      'effect',
      'runtime/fs',
      'the live replica writes; results are in the log',
      `chmod chown copyFile cpSyncCheckPaths[22-] cpSyncCopyDir[22-] cpSyncOverrideFile[22-] fchmod fchown
      fdatasync fsync ftruncate futimes lchown link lutimes mkdir mkdtemp rename rmSync[24-] rmdir symlink
      unlink utimes writeBuffer writeBuffers writeFileUtf8 writeString`,
    ],
    [
      'leaks',
      'operation',
      'the class of fs.promises is replaced above the binding; what takes a handle of Node itself is not covered',
      `CpDirJob[26-] FileHandle ReadFileJob[26-] WriteFileJob[26-] CpDirJob{run[26-]}
      FileHandle{_externalStream bytesRead bytesWritten close closeSync[24-] fd isStreamBase onread readStart
      readStop releaseFD shutdown useUserBuffer writeAsciiString writeBuffer writeLatin1String writeUcs2String
      writeUtf8String writev} ReadFileJob{run[26-]} WriteFileJob{run[26-]}`,
    ],
    ['unsupported', 'source', 'fs.watchFile: polled by each replica', `StatWatcher StatWatcher{start}`],
    [
      'leaks',
      'sample',
      'the module loader looks for files itself: replicas must have the same modules',
      `getFormatOfExtensionlessFile internalModuleReadJSON[-20] internalModuleStat legacyMainResolve`,
    ],
    ['pure', '', 'helpers of the functions above', `readdirRecursive[26-] FSReqCallback{cancel[26-]}`],
  ],
  fs_dir: [
    ['operation', 'runtime/fs/directory.ts', 'all entries are one result', `opendir`],
    ['sample', 'runtime/fs/directory.ts', 'all entries are one result', `opendirSync`],
    ['pure', '', 'used while one result is made', `DirHandle DirHandle{close read}`],
  ],
  fs_event_wrap: [
    ['unsupported', 'source', 'fs.watch: events of the kernel on each replica', `FSEvent FSEvent{initialized start}`],
  ],
  js_udp_wrap: [
    [
      'pure',
      '',
      'datagrams from functions of the program',
      `JSUDPWrap JSUDPWrap{emitReceived onAfterBind onSendDone recvStart recvStop}`,
    ],
  ],
  locks: [['leaks', 'source', 'navigator.locks: requests are granted outside of events', `query[24-] request[24-]`]],
  messaging: [
    [
      'pure',
      '',
      'computed from its arguments',
      `DOMException JSTransferable[-20] QuotaExceededError[26-] exposeLazyDOMExceptionProperty[22-]
      setDeserializerCreateObjectFunction structuredClone DOMException{ABORT_ERR DATA_CLONE_ERR
      DOMSTRING_SIZE_ERR HIERARCHY_REQUEST_ERR INDEX_SIZE_ERR INUSE_ATTRIBUTE_ERR INVALID_ACCESS_ERR
      INVALID_CHARACTER_ERR INVALID_MODIFICATION_ERR INVALID_NODE_TYPE_ERR INVALID_STATE_ERR NAMESPACE_ERR
      NETWORK_ERR NOT_FOUND_ERR NOT_SUPPORTED_ERR NO_DATA_ALLOWED_ERR NO_MODIFICATION_ALLOWED_ERR
      QUOTA_EXCEEDED_ERR SECURITY_ERR SYNTAX_ERR TIMEOUT_ERR TYPE_MISMATCH_ERR URL_MISMATCH_ERR VALIDATION_ERR
      WRONG_DOCUMENT_ERR code message name} QuotaExceededError{quota[26-] requested[26-]}`,
    ],
    [
      'leaks',
      'source',
      'messages arrive outside of events, in an order of their own; the classes of worker_threads are not reported, the global ones are',
      `MessageChannel MessagePort broadcastChannel checkMessagePort[-20] drainMessagePort
      moveMessagePortToContext receiveMessageOnPort stopMessagePort MessagePort{postMessage start}`,
    ],
  ],
  pipe_wrap: [
    ['pure', '', 'a request object', `PipeConnectWrap`],
    [
      'source',
      'runtime/sources/kernel-connection.ts',
      'unix sockets: the live replica has them, what arrives is an event',
      `Pipe Pipe{bind connect fchmod listen open}`,
    ],
  ],
  process_wrap: [
    [
      'source',
      'runtime/sources/child-process.ts',
      'the live replica runs it; what it says is an event',
      `Process Process{kill spawn}`,
    ],
  ],
  signal_wrap: [['unsupported', 'source', 'signals reach one process only', `Signal Signal{start stop}`]],
  spawn_sync: [
    [
      'effect',
      'runtime/effects/children.ts',
      'spawnSync, execSync, execFileSync: the live replica runs the child, its result is a sample',
      `spawn`,
    ],
  ],
  stream_pipe: [
    [
      'leaks',
      'source',
      'pipes bytes between handles of the kernel, outside of events',
      `StreamPipe StreamPipe{isClosed pendingWrites start unpipe}`,
    ],
  ],
  stream_wrap: [['pure', '', 'request objects', `ShutdownWrap WriteWrap`]],
  tcp_wrap: [
    ['pure', '', 'a request object', `TCPConnectWrap`],
    [
      'source',
      'runtime/sources/kernel-connection.ts',
      'on the stack where it has a route; else the live replica alone has the socket, what arrives is an event',
      `TCP TCP{bind bind6 connect connect6 getTypeOfService[24-] getpeername getsockname listen open reset
      setKeepAlive setNoDelay setTypeOfService[24-]}`,
    ],
  ],
  tty_wrap: [
    [
      'leaks',
      'sample',
      'the terminal of this process: columns and isTTY differ between replicas',
      `isTTY TTY{getWindowSize}`,
    ],
    ['leaks', 'source', 'standard input, and terminals opened by the program', `TTY TTY{setRawMode}`],
  ],
  udp_wrap: [
    ['pure', '', 'a request object', `SendWrap`],
    [
      'source',
      'runtime/sources/kernel-dgram.ts',
      'on the stack where it has a route; else the live replica alone has the socket, what arrives is an event',
      `UDP UDP{addMembership addSourceSpecificMembership bind bind6 bufferSize connect connect6 disconnect
      dropMembership dropSourceSpecificMembership fd getSendQueueCount getSendQueueSize getpeername
      getsockname open recvStart recvStop send send6 setBroadcast setMulticastInterface setMulticastLoopback
      setMulticastTTL setTTL}`,
    ],
  ],
  watchdog: [['leaks', 'source', 'a signal of this process', `TraceSigintWatchdog TraceSigintWatchdog{start stop}`]],
  worker: [
    [
      'unsupported',
      'source',
      'threads run on both replicas',
      `Worker getEnvMessagePort Worker{cpuUsage[22-] getHeapStatistics[22-] getResourceLimits hasRef
      loopIdleTime loopStartTime ref startCpuProfile[22-] startHeapProfile[24-] startThread
      stopCpuProfile[22-] stopHeapProfile[24-] stopThread takeHeapSnapshot unref}`,
    ],
  ],
};
