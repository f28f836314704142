/**
 * Bindings of the language: buffers, text, URLs, modules.
 * The form of the rows: binding-rows.ts.
 */
import type { BindingRows } from './binding-rows.js';

/** Bindings of the language: buffers, text, URLs, modules. */
export const LANGUAGE: BindingRows = {
  buffer: [
    [
      'pure',
      '',
      'computed from its arguments',
      `arrayBufferAlignedOffset[26-] asciiSlice asciiWriteStatic[22-] asciiWrite[-20] atob base64Slice
      base64Write base64urlSlice base64urlWrite btoa byteLengthUtf8 compare compareOffset copy copyArrayBuffer
      createUnsafeArrayBuffer detachArrayBuffer[-20] fill hexSlice hexWrite indexOfBuffer indexOfNumber
      indexOfString isAscii isUtf8 latin1Slice latin1WriteStatic[22-] latin1Write[-20] setDetachKey[24-]
      swap16 swap32 swap64 ucs2Slice ucs2Write utf8Slice utf8WriteStatic[22-] utf8Write[-20]`,
    ],
  ],
  builtins: [
    [
      'pure',
      '',
      "Node's own modules, part of the executable",
      `compileFunction getCacheUsage hasCachedBuiltins importBuiltinSourceTextModule[24-] setInternalLoaders`,
    ],
  ],
  cjs_lexer: [['pure', '', 'computed from its arguments', `parse[24-]`]],
  encoding_binding: [
    [
      'pure',
      '',
      'computed from its arguments',
      `decodeLatin1[-20] decodeUTF8 decodeWindows1252[22-22] encodeInto encodeUtf8String toASCII toUnicode`,
    ],
  ],
  icu: [
    ['pure', '', 'computed from its arguments', `decode getConverter getStringWidth hasConverter icuErrName transcode`],
  ],
  ipc_serdes: [['pure', '', 'computed from its arguments', `deserialize[24-] serialize[24-]`]],
  module_wrap: [
    [
      'pure',
      '',
      'links and runs modules; loading happens while the program starts',
      `ModuleWrap createRequiredModuleFacade setImportMetaResolveInitializer[26-]
      setImportModuleDynamicallyCallback setInitializeImportMetaObjectCallback throwIfPromiseRejected
      ModuleWrap{createCachedData evaluate evaluateSync getError getModuleRequests getModuleSourceObject[24-]
      getNamespace getNamespaceSync[-22] getStatus hasTopLevelAwait[22-22] instantiate instantiateSync[-22]
      isGraphAsync[-22] link setExport setModuleSourceObject[24-]}`,
    ],
  ],
  modules: [
    [
      'leaks',
      'sample',
      'package.json files are read by the module loader itself: replicas must have the same',
      `enableCompileCache[22-] flushCompileCache[22-] getCompileCacheDir[22-] getCompileCacheEntry[24-]
      getNearestParentPackageJSONType[22-] getNearestParentPackageJSON[24-] getPackageScopeConfig[22-]
      getPackageType[22-] parsePackageJSON[26-] readPackageJSON[22-] saveCompileCacheEntry[24-]
      setLazyPathHelpers[22-24]`,
    ],
  ],
  serdes: [
    [
      'pure',
      '',
      'computed from its arguments',
      `Deserializer Serializer Deserializer{_readRawBytes getWireFormatVersion readDouble readHeader readUint32
      readUint64 readValue transferArrayBuffer} Serializer{_setTreatArrayBufferViewsAsHostObjects
      releaseBuffer transferArrayBuffer writeDouble writeHeader writeRawBytes writeUint32 writeUint64
      writeValue}`,
    ],
  ],
  string_decoder: [['pure', '', 'computed from its arguments', `decode flush`]],
  types: [
    [
      'pure',
      '',
      'computed from its arguments',
      `isAnyArrayBuffer isArgumentsObject isArrayBuffer isAsyncFunction isBigIntObject isBooleanObject
      isBoxedPrimitive isDataView[-22] isDate isExternal isGeneratorFunction isGeneratorObject isMap
      isMapIterator isModuleNamespaceObject isNativeError isNumberObject isPromise isProxy isRegExp isSet
      isSetIterator isSharedArrayBuffer isStringObject isSymbolObject isWeakMap isWeakSet`,
    ],
  ],
  url: [
    [
      'pure',
      '',
      'computed from its arguments',
      `canParse domainToASCII domainToUnicode format getOrigin parse pathToFileURL[22-] update`,
    ],
  ],
  url_pattern: [
    [
      'pure',
      '',
      'computed from its arguments',
      `URLPattern[24-] URLPattern{exec[24-] hasRegExpGroups[24-] hash[24-] hostname[24-] password[24-]
      pathname[24-] port[24-] protocol[24-] search[24-] test[24-] username[24-]}`,
    ],
  ],
};
