/**
 * Bindings of the libraries within Node: OpenSSL, zlib, nghttp2, SQLite.
 * The form of the rows: binding-rows.ts.
 */
import type { BindingRows } from './binding-rows.js';

/** Bindings of the libraries within Node: OpenSSL, zlib, nghttp2, SQLite. */
export const LIBRARIES: BindingRows = {
  crypto: [
    [
      'operation',
      'runtime/operations/crypto.ts',
      'asynchronous forms are computed at once on each replica, with the randomness of the event',
      `CheckPrimeJob HKDFJob PBKDF2Job RandomBytesJob RandomPrimeJob ScryptJob SecretKeyGenJob SignJob
      CheckPrimeJob{run} HKDFJob{run} PBKDF2Job{run} RandomBytesJob{run} RandomPrimeJob{run} ScryptJob{run}
      SecretKeyGenJob{run} SignJob{run}`,
    ],
    [
      'operation',
      'runtime/operations/subtle.ts',
      'crypto.subtle and generateKeyPair: the primary computes, and the result is in the log',
      `AESCipherJob CShakeJob[24-] ChaCha20Poly1305CipherJob[24-] DHBitsJob DHKeyExportJob[-24]
      DSAKeyExportJob[-20] DhKeyPairGenJob DsaKeyPairGenJob ECDHBitsJob[-22] ECKeyExportJob[-24]
      EcKeyPairGenJob HashJob HmacJob KangarooTwelveJob[24-] KmacJob[24-] NamedKeyPairGenJob[26-]
      NidKeyPairGenJob[-24] RSACipherJob RSAKeyExportJob[-24] RsaKeyPairGenJob TurboShakeJob[24-]
      AESCipherJob{run} CShakeJob{run[24-]} ChaCha20Poly1305CipherJob{run[24-]} DHBitsJob{run}
      DHKeyExportJob{run[-24]} DSAKeyExportJob{run[-20]} DhKeyPairGenJob{run} DsaKeyPairGenJob{run}
      ECDHBitsJob{run[-22]} ECKeyExportJob{run[-24]} EcKeyPairGenJob{run} HashJob{run} HmacJob{run}
      KangarooTwelveJob{run[24-]} KmacJob{run[24-]} NamedKeyPairGenJob{run[26-]} NidKeyPairGenJob{run[-24]}
      RSACipherJob{run} RSAKeyExportJob{run[-24]} RsaKeyPairGenJob{run} TurboShakeJob{run[24-]}`,
    ],
    [
      'leaks',
      'operation',
      'crypto.argon2, encapsulate and decapsulate with a callback end outside of events, and are not reported',
      `Argon2Job[24-] KEMDecapsulateJob[24-] KEMEncapsulateJob[24-] Argon2Job{run[24-]}
      KEMDecapsulateJob{run[24-]} KEMEncapsulateJob{run[24-]}`,
    ],
    ['leaks', 'sample', 'memory of this process', `secureHeapUsed`],
    [
      'leaks',
      'effect',
      'loads code of OpenSSL engines that the runtime does not know',
      `setEngine SecureContext{setClientCertEngine setEngineKey}`,
    ],
    [
      'leaks',
      'sample',
      'certificate files of the machine; NODE_EXTRA_CA_CERTS is read by each replica',
      `getBundledRootCertificates[22-] getCachedAliases getExtraCACertificates[22-] getRootCertificates[-20]
      getSystemCACertificates[22-] getUserRootCertificates[22-] isExtraRootCertsFileLoaded[-20]`,
    ],
    [
      'virtual',
      'lib/native/rand.c',
      "OpenSSL's generator is keyed by the group and the event",
      `Sign publicEncrypt secureBuffer DiffieHellman{generateKeys} DiffieHellmanGroup{generateKeys}
      ECDH{generateKeys} SecureContext{enableTicketKeyCallback getTicketKeys setTicketKeys} Sign{init sign
      update}`,
    ],
    [
      'pure',
      '',
      'computed from its arguments',
      `CipherBase DiffieHellman DiffieHellmanGroup ECDH ECDHConvertKey Hash Hmac KeyObjectHandle Mac[26-]
      SecureContext Verify certExportChallenge certExportPublicKey certVerifySpkac createCryptoKeyClass[24-]
      createNativeKeyObjectClass createX509CertificateClass[26-] getCachedMacAliases[26-]
      getCertificateCompressionAlgorithms[24-] getCipherInfo getCiphers getCryptoKeySlots[24-] getCurves
      getFipsCrypto getFipsCryptoGeneration[26-] getHashes getKeyObjectSlots[24-] getMacs[26-]
      getOpenSSLSecLevelCrypto[22-] getPqcKeyTypes[26-] getSSLCiphers internalVerifyIntegrity[-22]
      isCryptoKey[26-] isKeyObject[26-] isX509Certificate[26-] oneShotDigest parsePKCS12[26-] parseX509
      privateDecrypt privateEncrypt publicDecrypt resetRootCertStore[22-] setFipsCrypto
      setupFipsIndicatorChannel[26-] startLoadingCertificatesOffThread[22-] statelessDH[-22] testFipsCrypto
      timingSafeEqual CipherBase{final getAuthTag init[-22] initiv[-22] setAAD setAuthTag setAutoPadding
      update} DiffieHellman{computeSecret getGenerator getPrime getPrivateKey getPublicKey setPrivateKey
      setPublicKey} DiffieHellmanGroup{computeSecret getGenerator getPrime getPrivateKey getPublicKey
      setPrivateKey setPublicKey} ECDH{computeSecret getPrivateKey getPublicKey setPrivateKey setPublicKey}
      Hash{digest update} Hmac{digest init update} KeyObjectHandle{checkEcKeyData equals export
      exportECPrivateRaw[24-] exportECPublicRaw[24-] exportJwk getAsymmetricKeyType getKeyType[24-]
      getSymmetricKeySize init initECRaw[-22] initEDRaw[-22] initJwk[-22] keyDetail rawPrivateKey[24-]
      rawPublicKey[24-] rawSeed[24-]} Mac{final[26-] update[26-]} SecureContext{_external addCACert addCRL
      addRootCerts close getCertificate getIssuer getMaxProto getMinProto init loadPKCS12
      setAllowPartialTrustChain setCert setCertificateCompression[24-] setCipherSuites setCiphers setDHParam
      setECDHCurve setKey setMaxProto setMinProto setOptions setSessionIdContext setSessionTimeout setSigalgs}
      Verify{init update verify}`,
    ],
  ],
  ffi: [
    [
      'leaks',
      'unsupported',
      'code of shared libraries runs on both replicas, not reported',
      `DynamicLibrary[26-] exportBytes[26-] getCurrentEventLoop[26-] getFloat32[26-] getFloat64[26-]
      getInt16[26-] getInt32[26-] getInt64[26-] getInt8[26-] getRawPointer[26-] getUint16[26-] getUint32[26-]
      getUint64[26-] getUint8[26-] setFloat32[26-] setFloat64[26-] setInt16[26-] setInt32[26-] setInt64[26-]
      setInt8[26-] setUint16[26-] setUint32[26-] setUint64[26-] setUint8[26-] toArrayBuffer[26-] toBuffer[26-]
      toString[26-] DynamicLibrary{close[26-] functions[26-] getFunction[26-] getFunctions[26-] getSymbol[26-]
      getSymbols[26-] refCallback[26-] registerCallback[26-] unrefCallback[26-] unregisterCallback[26-]}`,
    ],
  ],
  http2: [
    [
      'pure',
      '',
      'computed from its arguments',
      `nghttp2ErrorString packSettings refreshDefaultSettings setCallbackFunctions`,
    ],
    [
      'source',
      'runtime/protocols/http2.ts',
      'nghttp2 sends from immediates of its own: an event of a program with sessions lasts for one more pass',
      `Http2Session Http2Stream Http2Session{altsvc consume destroy goaway hasPendingData localSettings origin
      ping receive refreshState remoteSettings request setGracefulClose setLocalWindowSize setNextStreamID
      settings updateChunksSent} Http2Stream{_externalStream bytesRead bytesWritten destroy fd id info
      isStreamBase onread priority pushPromise readStart readStop refreshState respond rstStream shutdown
      trailers useUserBuffer writeAsciiString writeBuffer writeLatin1String writeUcs2String writeUtf8String
      writev}`,
    ],
  ],
  http_parser: [
    [
      'virtual',
      'runtime/protocols/http-checks.ts',
      'connections that are too slow are found by the clock of the events',
      `ConnectionsList ConnectionsList{active all expired idle}`,
    ],
    [
      'pure',
      '',
      'parses bytes that a socket of the runtime gave it',
      `HTTPParser HTTPParser{close consume duration[-20] execute finish free getCurrentBuffer
      headersCompleted[-20] initialize pause remove resume unconsume}`,
    ],
  ],
  js_stream: [
    [
      'pure',
      '',
      'a stream over functions of the program; its callbacks run in the call',
      `JSStream JSStream{_externalStream bytesRead bytesWritten emitEOF fd finishShutdown finishWrite
      isStreamBase onread readBuffer readStart readStop shutdown useUserBuffer writeAsciiString writeBuffer
      writeLatin1String writeUcs2String writeUtf8String writev}`,
    ],
  ],
  sqlite: [
    [
      'effect',
      'runtime/effects/sqlite.ts',
      'a database in a file: the live replica alone opens it; one in memory is part of the program',
      `DatabaseSync[22-] StatementSync[22-] DatabaseSync{applyChangeset[22-] close[22-] enableDefensive[24-]
      enableLoadExtension[22-] exec[22-] loadExtension[22-] location[22-] open[22-] prepare[22-]}
      StatementSync{all[22-] columns[22-] get[22-] iterate[22-] run[22-] setAllowBareNamedParameters[22-]
      setAllowUnknownNamedParameters[22-] setReadBigInts[22-] setReturnArrays[22-]}`,
    ],
    [
      'unsupported',
      'effect',
      'functions of the program within SQLite, sessions, tag stores, backups',
      `Session[24-] backup[22-] DatabaseSync{aggregate[22-] createSession[22-] createTagStore[24-]
      deserialize[24-] function[22-] serialize[24-] setAuthorizer[24-]} Session{changeset[24-] close[24-]
      patchset[24-]} StatementSync{close[26-] resetStats[26-] stat[26-]}`,
    ],
  ],
  tls_wrap: [
    [
      'source',
      'runtime/protocols/tls.ts',
      'over sockets of the stack; randomness from the event, no tickets with real times',
      `TLSWrap wrap TLSWrap{_externalStream bytesRead bytesWritten certCbDone clientHelloDone[26-] destroySSL
      enableALPNCb enableCertCb enableKeylogCallback enablePskCallback enableSessionCallbacks enableTrace
      endParser[-24] exportKeyingMaterial fd getALPNNegotiatedProtocol getCertificate getCipher
      getEphemeralKeyInfo getFinished getPeerCertificate getPeerFinished getPeerX509Certificate getProtocol
      getServername getSession getSharedSigalgs getTLSTicket getX509Certificate hasPeerCertificate[26-]
      isSessionReused isStreamBase loadSession newSessionDone onread readStart readStop receive renegotiate
      requestOCSP setALPNProtocols setKeyCert setMaxSendFragment setOCSPResponse setPskIdentityHint
      setServername setSession setVerifyMode shutdown start useUserBuffer verifyError writeAsciiString
      writeBuffer writeLatin1String writeQueueSize writeUcs2String writeUtf8String
      writesIssuedByPrevListenerDone writev}`,
    ],
  ],
  wasi: [
    [
      'leaks',
      'unsupported',
      'system calls of a WebAssembly module, on both replicas',
      `WASI WASI{args_get args_sizes_get clock_res_get clock_time_get environ_get environ_sizes_get fd_advise
      fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get
      fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_dir_name fd_prestat_get fd_pwrite fd_read
      fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write path_create_directory path_filestat_get
      path_filestat_set_times path_link path_open path_readlink path_remove_directory path_rename path_symlink
      path_unlink_file poll_oneoff proc_exit proc_raise random_get sched_yield sock_accept sock_recv sock_send
      sock_shutdown}`,
    ],
  ],
  wasm_web_api: [['unsupported', 'operation', 'streaming compilation settles outside of events', `setImplementation`]],
  webstorage: [
    [
      'leaks',
      'effect',
      'localStorage: a file that both replicas write, not reported',
      `Storage[22-] Storage{clear[22-] getItem[22-] key[22-] length[22-] removeItem[22-] setItem[22-]}`,
    ],
  ],
  zlib: [
    ['pure', '', 'computed from its arguments', `crc32`],
    [
      'operation',
      'runtime/operations/zlib.ts',
      'asynchronous forms are computed at once on each replica',
      `BrotliDecoder BrotliEncoder Zlib ZstdCompress[22-] ZstdDecompress[22-] BrotliDecoder{close init params
      reset write writeSync} BrotliEncoder{close init params reset write writeSync} Zlib{close init params
      reset write writeSync} ZstdCompress{close[22-] init[22-] params[22-] reset[22-] write[22-]
      writeSync[22-]} ZstdDecompress{close[22-] init[22-] params[22-] reset[22-] write[22-] writeSync[22-]}`,
    ],
  ],
};
