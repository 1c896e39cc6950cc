# Three kinds of target: the core library (no Node inside), the addon (the only code that knows Node),
# and, with -Dwith_tests=1, the test executables. scripts/build-native.mjs calls it, and adds a target
# for each fuzzer.
{
  "variables": {
    "with_addon%": 1,
    "with_tests%": 0,
    "sanitize%": "none",
    "liburing_library%": "-l:liburing.a"
  },
  "target_defaults": {
    "default_configuration": "Release",
    "configurations": {"Release": {}, "Debug": {}},
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": [
      "-std=c++20", "-fno-exceptions", "-fno-rtti", "-fPIC", "-g", "-O2",
      "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror",
      "-Wno-missing-field-initializers"
    ],
    "include_dirs": ["native"],
    "defines": ["_GNU_SOURCE", "JSON_NOEXCEPTION=1"],
    "conditions": [
      # Node's OpenSSL serves the addon, so its headers must, too. As they are not ours, they give no
      # warnings.
      ["with_addon==1", {"cflags_cc": ["-isystem <(node_root_dir)/include/node"]}],
      # Tests are compiled on every change: what a stack trace needs is enough, and takes two thirds of the time.
      ["with_addon==0", {"cflags_cc": ["-g1"]}],
      ["sanitize=='address'", {
        "cflags_cc": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-O1"],
        "ldflags": ["-fsanitize=address,undefined"]
      }],
      ["sanitize=='thread'", {
        "cflags_cc": ["-fsanitize=thread", "-O1", "-Wno-tsan"],
        "ldflags": ["-fsanitize=thread"]
      }],
      ["sanitize=='fuzzer'", {
        "cflags_cc": [
          "-fsanitize=address,undefined,fuzzer-no-link", "-fno-sanitize-recover=all", "-O1", "-Wthread-safety"
        ],
        "ldflags": ["-fsanitize=address,undefined"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "core",
      "type": "static_library",
      "sources": ["<!@(find native -name \"*.cc\" -not -path \"native/addon/*\")"],
      "standalone_static_library": 1
    }
  ],
  "conditions": [
    ["with_addon==1", {
      "targets": [{
        "target_name": "aurochs",
        "type": "loadable_module",
        "product_extension": "node",
        "dependencies": ["core"],
        "sources": ["<!@(find native/addon -name \"*.cc\")"],
        "cflags_cc": ["-isystem <!(node -p \"path.resolve(require('node-addon-api').include_dir)\")"],
        "defines": [
          "NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS",
          "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
        ],
        # Only the module's entry is visible: node carries its own OpenSSL and may carry its own
        # liburing. Worker pools outlive a worker thread that loaded the module, so it stays mapped.
        "ldflags": [
          "-Wl,--version-script=<(module_root_dir)/native/addon/exports.map", "-Wl,-z,nodelete", "-Wl,-z,now"
        ],
        "libraries": ["<(liburing_library)"]
      }]
    }],
    ["with_tests==1", {
      "targets": [
        {
          "target_name": "unit_tests",
          "type": "executable",
          "dependencies": ["core"],
          "include_dirs": ["test/native"],
          "sources": ["<!@(find test/native -path \"test/native/unit/*.cc\" -o -path \"test/native/support/*.cc\")"],
          "libraries": ["-lgtest", "-lgmock", "-lgtest_main", "<(liburing_library)", "-lssl", "-lcrypto", "-lpthread"]
        },
        {
          "target_name": "sim_tests",
          "type": "executable",
          "dependencies": ["core"],
          "include_dirs": ["test/native"],
          "sources": ["<!@(find test/native -path \"test/native/sim/*.cc\" -o -path \"test/native/support/*.cc\")"],
          "libraries": ["-lgtest", "-lgmock", "-lgtest_main", "<(liburing_library)", "-lssl", "-lcrypto", "-lpthread"]
        }
      ]
    }]
  ]
}
