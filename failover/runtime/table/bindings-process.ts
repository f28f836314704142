/**
 * Bindings of the process, its clocks and its event loop.
 * The form of the rows: binding-rows.ts.
 */
import type { BindingRows } from './binding-rows.js';

/** Bindings of the process, its clocks and its event loop. */
export const PROCESS: BindingRows = {
  async_context_frame: [
    [
      'pure',
      '',
      'the current AsyncLocalStorage frame: a value of the running call, restored by Node',
      `getContinuationPreservedEmbedderData[22-] setContinuationPreservedEmbedderData[22-]`,
    ],
  ],
  async_wrap: [
    [
      'leaks',
      'virtual',
      'async ids count the resources of the replica, too: executionAsyncId differs between replicas',
      `clearAsyncIdStack executionAsyncResource popAsyncContext pushAsyncContext`,
    ],
    [
      'leaks',
      'source',
      'destroy hooks run when the garbage collector or an immediate of Node says so',
      `queueDestroyAsyncId registerDestroyHook`,
    ],
    [
      'pure',
      '',
      'installs and calls hooks within the running call',
      `getPromiseHooks setCallbackTrampoline setPromiseHooks setupHooks`,
    ],
  ],
  config: [['pure', '', 'how this executable was built', `getDefaultLocale[22-]`]],
  contextify: [
    ['leaks', 'sample', 'vm.measureMemory: the heap of this process, settled by V8 outside of events', `measureMemory`],
    [
      'leaks',
      'source',
      'vm with breakOnSigint: a signal of this process',
      `startSigintWatchdog stopSigintWatchdog watchdogHasPendingSigint`,
    ],
    [
      'pure',
      '',
      'compiles and runs code; a timeout of vm counts real time',
      `ContextifyScript compileFunction compileFunctionForCJSLoader containsModuleSyntax makeContext
      shouldRetryAsESM[-20] ContextifyScript{createCachedData runInContext}`,
    ],
  ],
  credentials: [
    [
      'sample',
      'runtime/samples/values.ts',
      'process.getuid and its like: the user of the primary',
      `getegid geteuid getgid getgroups getuid`,
    ],
    ['virtual', 'runtime/samples/process.ts', 'the environment of the first primary', `getTempDir[22-] safeGetenv`],
    ['leaks', 'effect', 'both replicas change their own user', `initgroups setegid seteuid setgid setgroups setuid`],
  ],
  diagnostics_channel: [
    [
      'pure',
      '',
      'channels in memory; subscribers run in the call',
      `linkNativeChannel[24-] notifyChannelActive[26-] notifyChannelInactive[26-]`,
    ],
  ],
  errors: [
    [
      'effect',
      'replica/event-loop.ts',
      'ends the process: the event of a throw is quarantined by the successor',
      `triggerUncaughtException`,
    ],
    [
      'pure',
      '',
      'how errors are prepared, in memory',
      `getErrorSourcePositions[22-] noSideEffectsToString setEnhanceStackForFatalException
      setGetSourceMapErrorSource setMaybeCacheGeneratedSourceMap setPrepareStackTraceCallback
      setSourceMapsEnabled`,
    ],
  ],
  heap_utils: [
    [
      'unsupported',
      'sample',
      'v8.getHeapSnapshot: the heap of this process',
      `buildEmbedderGraph createHeapSnapshotStream`,
    ],
    [
      'effect',
      'runtime/samples/values.ts',
      'v8.writeHeapSnapshot: the live replica writes the file',
      `triggerHeapSnapshot`,
    ],
  ],
  inspector: [
    [
      'leaks',
      'source',
      'a debugger stops the process, and answers outside of events; not reported',
      `Connection MainThreadConnection asyncTaskCanceled asyncTaskFinished asyncTaskScheduled asyncTaskStarted
      callAndPauseOnStart consoleCall emitProtocolEvent isEnabled open putNetworkResource[22-]
      registerAsyncHook setConsoleExtensionInstaller setupNetworkTracking url waitForDebugger
      Connection{disconnect dispatch} MainThreadConnection{disconnect dispatch}`,
    ],
  ],
  mksnapshot: [
    [
      'pure',
      '',
      'only while a snapshot is built',
      `compileSerializeMain runEmbedderPreload setDeserializeCallback setDeserializeMainFunction
      setSerializeCallback`,
    ],
  ],
  options: [
    [
      'pure',
      '',
      'the command line of this process',
      `getCLIOptionsInfo getCLIOptionsValues getEmbedderOptions getEnvOptionsInputType[22-]
      getNamespaceOptionsInputType[24-] getOptionsAsFlags[24-]`,
    ],
  ],
  os: [
    [
      'sample',
      'runtime/samples/values.ts',
      'values of the machine that the primary runs on',
      `getAvailableParallelism getCPUs getFreeMem getHomeDirectory getInterfaceAddresses getLoadAvg
      getOSInformation getPriority getTotalMem getUptime getUserInfo`,
    ],
    ['virtual', 'runtime/samples/process.ts', 'os.hostname: of the first primary', `getHostname`],
    ['leaks', 'effect', 'each replica changes its own process', `setPriority`],
  ],
  performance: [
    [
      'sample',
      'runtime/samples/event-loop.ts',
      'performance.eventLoopUtilization and nodeTiming',
      `loopIdleTime uvMetricsInfo`,
    ],
    [
      'sample',
      'runtime/samples/event-loop.ts',
      'perf_hooks.monitorEventLoopDelay; other histograms are in memory, but recordDelta reads the real clock',
      `Histogram createELDHistogram Histogram{add cliffsD[24-] cohensD[24-] countBigInt exceedsBigInt
      export[26-] ksTest[24-] linearBuckets[24-] logBuckets[24-] mannWhitneyTest[24-] maxBigInt meanCI[26-]
      minBigInt percentileBigInt percentileCI[24-] percentiles percentilesAt[24-] percentilesBigInt qrde[26-]
      recordCorrected[24-] subtract[24-] welchTest[24-]}`,
    ],
    ['virtual', 'runtime/virtual/clocks.ts', 'performance.now; marks get the time of the event', `now`],
    [
      'leaks',
      'source',
      'PerformanceObserver: entries arrive in an immediate of Node, and those of the collector at any time',
      `installGarbageCollectionTracking notify removeGarbageCollectionTracking setupObservers`,
    ],
    [
      'leaks',
      'virtual',
      'its windows follow the real clock',
      `SlidingWindowHistogram[26-] SlidingWindowHistogram{reset[26-] snapshot[26-]}`,
    ],
    ['pure', '', 'once, before the program', `markBootstrapComplete`],
  ],
  permission: [['pure', '', 'the command line of this process', `drop[24-] has`]],
  process_methods: [
    ['virtual', 'runtime/virtual/clocks.ts', 'the time of the event', `hrtime hrtimeBigInt uptime`],
    [
      'sample',
      'runtime/samples/values.ts',
      'values of the primary',
      `availableMemory constrainedMemory cpuUsage getActiveResourcesInfo memoryUsage resourceUsage rss
      threadCpuUsage[22-]`,
    ],
    [
      'leaks',
      'sample',
      'handles of this process; process.getActiveResourcesInfo is a sample',
      `_getActiveHandles _getActiveRequests`,
    ],
    ['effect', 'replica/event-loop.ts', 'ends the process: the successor goes on', `abort causeSegfault reallyExit`],
    ['effect', 'runtime/effects/signals.ts', 'process.kill: only the live replica sends signals', `_kill`],
    ['leaks', 'effect', 'opens a debugger in another process', `_debugEnd _debugProcess`],
    ['leaks', 'effect', 'writes to standard error on both replicas', `_rawDebug`],
    ['unsupported', 'unsupported', 'native addons: unknown ones are refused by name (table/addons.ts)', `dlopen`],
    ['leaks', 'unsupported', 'native addons from memory run on both replicas; not reported', `dlopenBinary[26-]`],
    ['leaks', 'effect', 'replaces the program of this process', `execve[22-]`],
    ['leaks', 'sample', 'process.loadEnvFile: the file is read by each replica', `loadEnvFile`],
    [
      'virtual',
      '',
      'part of the process, changed by the program in the same way on each replica; they start in one directory',
      `chdir cwd umask`,
    ],
    ['pure', '', 'before the program, or for tests', `patchProcessObject resetStdioForTesting setEmitWarningSync`],
  ],
  profiler: [
    [
      'leaks',
      'effect',
      'coverage files are written by each replica',
      `endCoverage setCoverageDirectory setSourceMapCacheGetter startCoverage[24-] stopCoverage takeCoverage`,
    ],
  ],
  report: [
    ['effect', 'runtime/samples/values.ts', 'the live replica writes the file', `writeReport`],
    ['sample', 'runtime/samples/values.ts', 'the report of the primary, if it has at most 64 KiB', `getReport`],
    [
      'pure',
      '',
      'settings in memory',
      `getCompact getDirectory getExcludeEnv[22-] getExcludeNetwork getFilename getSignal setCompact
      setDirectory setExcludeEnv[22-] setExcludeNetwork setFilename setReportOnFatalError setReportOnSignal
      setReportOnUncaughtException setSignal shouldReportOnFatalError shouldReportOnSignal
      shouldReportOnUncaughtException`,
    ],
  ],
  sea: [
    [
      'pure',
      '',
      'part of the executable',
      `getAsset getAssetKeys[22-] isExperimentalSeaWarningNeeded isSea isVfsEnabled[26-]`,
    ],
  ],
  task_queue: [
    [
      'pure',
      '',
      'ticks and microtasks drain within the event',
      `enqueueMicrotask runMicrotasks setPromiseRejectCallback setTickCallback`,
    ],
  ],
  timers: [
    [
      'virtual',
      'runtime/virtual/timers-module.ts',
      "the program's timers and immediates are the runtime's",
      `scheduleTimer setupTimers toggleImmediateRef toggleTimerRef`,
    ],
    [
      'leaks',
      'virtual',
      "timers that Node's own modules set (socket.setTimeout of kernel sockets, the Date header's cache) count real time",
      `getLibuvNow`,
    ],
  ],
  trace_events: [
    [
      'leaks',
      'effect',
      'trace files are written by each replica',
      `CategorySet getCategoryEnabledBuffer getEnabledCategories hasAgent[26-] isTraceCategoryEnabled
      setTraceCategoryStateUpdateHandler trace CategorySet{disable enable}`,
    ],
  ],
  util: [
    ['leaks', 'virtual', 'blocks for real time', `sleep`],
    ['leaks', 'sample', 'what standard input and output are, on this replica', `guessHandleType`],
    [
      'pure',
      '',
      'computed from its arguments',
      `arrayBufferViewHasBuffer constructSharedArrayBuffer[24-] defineLazyProperties[22-] getCallSites[22-]
      getCallerLocation getConstructorName getExternalValue getOwnNonIndexProperties getPromiseDetails
      getProxyDetails getSharedArrayBufferGrowable[26-] isAnyArrayBuffer isArrayBuffer
      isArrayBufferDetached[-20] isArrayBufferView isAsyncFunction isDataView isDate isExternal
      isInsideNodeModules isMap isMapIterator isNativeError isPromise isRegExp isSet isSetIterator
      isTypedArray isUint8Array markPromiseAsHandled[24-] parseEnv previewEntries`,
    ],
  ],
  uv: [['pure', '', 'names of errors', `errname getErrorMap getErrorMessage[22-]`]],
  v8: [
    [
      'sample',
      'runtime/samples/values.ts',
      'the heap of the primary',
      `getCppHeapStatistics[22-] updateHeapCodeStatisticsBuffer updateHeapSpaceStatisticsBuffer
      updateHeapStatisticsBuffer`,
    ],
    ['leaks', 'sample', 'collections of this process', `GCProfiler GCProfiler{start stop}`],
    [
      'leaks',
      'effect',
      'acts on this process; setFlagsFromString is reported, the others are not',
      `setFlagsFromString setHeapProfileNearHeapLimit[26-] setHeapSnapshotNearHeapLimit startCpuProfile[24-]
      startHeapProfile[26-] stopCpuProfile[24-] stopHeapProfile[26-]`,
    ],
    ['leaks', 'sample', 'differs between processes', `getHashSeed[24-]`],
    ['pure', '', 'computed from its arguments', `cachedDataVersionTag isStringOneByteRepresentation[22-]`],
  ],
};
