{
  "targets": [
    {
      "target_name": "fttcp",
      "sources": [
        "lib/native/addon.c",
        "lib/native/common.c",
        "lib/native/tap.c",
        "lib/native/split.c",
        "lib/native/loop.c",
        "lib/native/direct.c",
        "lib/native/hook.c",
        "lib/native/busy-poll.c",
        "lib/native/sender.c",
        "lib/native/shm.c",
        "lib/native/proc.c",
        "lib/native/threads.c",
        "lib/native/sum.c",
        "lib/native/rand.c",
        "lib/native/memory.c"
      ],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"],
      "cflags": ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-fstack-protector-strong", "-fvisibility=hidden"]
    }
  ]
}
