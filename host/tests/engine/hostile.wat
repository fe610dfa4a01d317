;; A guest that does what the first byte of a body or payload says. Anything else is answered properly.
(module
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
  (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
  (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
  (import "greenroom:room/room@0.1.0" "broadcast" (func $broadcast (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "greenroom:cache/cache@0.1.0" "commit"
    (func $commit (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "greenroom:timer/timer@0.1.0" "set" (func $set-timer (param i32 i32 i64 i32 i32 i32)))
  (import "greenroom:timer/timer@0.1.0" "cancel" (func $cancel-timer (param i32 i32 i32)))
  (import "greenroom:timer/timer@0.1.0" "ensure-in" (func $ensure-in (param i64 i32 i32 i64 i32 i32 i32)))
  (import "greenroom:room/room@0.1.0" "broadcast-in"
    (func $broadcast-in (param i64 i32 i32 i32 i32 i32 i32 i32 i32)))
  (memory (export "memory") 3)
  (data (i32.const 1024) "key")
  (data (i32.const 1040) "test.event")
  (data (i32.const 1060) "{\"n\":1}")
  (data (i32.const 1080) "{\"ok\":true}")
  (data (i32.const 1100) "shard")
  (data (i32.const 1120) "no such stream")
  (data (i32.const 1140) "\ff\fe\fd")
  (data (i32.const 1160) "not json")
  (data (i32.const 1180) "refused-it")
  (global $top (mut i32) (i32.const 131072))

  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (loop $grow
      (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
        (then
          (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
          (br $grow))))
    (local.get $at))

  (func $reset (global.set $top (i32.const 131072)))
  (func (export "cabi_post_greenroom:plugin/api@0.1.0#handle") (param i32) (call $reset))
  (func (export "cabi_post_greenroom:plugin/consumer@0.1.0#handle") (param i32) (call $reset))
  (func (export "cabi_post_greenroom:plugin/lifecycle@0.1.0#on") (param i32) (call $reset))
  (func (export "cabi_post_greenroom:plugin/timer-handler@0.1.0#fire") (param i32) (call $reset))

  ;; The first byte of some bytes, or 0.
  (func $first (param $at i32) (param $len i32) (result i32)
    (if (result i32) (local.get $len) (then (i32.load8_u (local.get $at))) (else (i32.const 0))))

  (func $spin (loop $again (br $again)))
  (func $recurse (param i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func $hog
    (loop $again
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
      (br $again)))
  (func $flood (loop $again (drop (call $now)) (br $again)))
  (func $push (param $data i32) (param $len i32)
    (call $broadcast (i32.const 1024) (i32.const 3) (i32.const 1040) (i32.const 10)
      (local.get $data) (local.get $len) (i32.const 1) (i32.const 2048)))
  (func $save
    (call $commit (i32.const 1100) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048)))

  ;; Saves, ensures a timer and pushes in a room; 1 if the host refused.
  (func $act-in (param $room i64) (result i32)
    (call $save)
    (call $ensure-in (local.get $room) (i32.const 1024) (i32.const 3) (i64.const 0)
      (i32.const 1120) (i32.const 14) (i32.const 2048))
    (if (i32.load8_u (i32.const 2048)) (then (return (i32.const 1))))
    (call $broadcast-in (local.get $room) (i32.const 1024) (i32.const 3) (i32.const 1040) (i32.const 10)
      (i32.const 1060) (i32.const 7) (i32.const 1) (i32.const 2048))
    (i32.load8_u (i32.const 2048)))

  ;; An answer of these bytes.
  (func $answer (param $at i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 512) (i32.const 0))
    (i32.store16 (i32.const 516) (i32.const 200))
    (i32.store (i32.const 520) (local.get $at))
    (i32.store (i32.const 524) (local.get $len))
    (i32.const 512))
  ;; A problem of status 409, code 50001 and slug refused-it.
  (func $problem (result i32)
    (memory.fill (i32.const 512) (i32.const 0) (i32.const 64))
    (i32.store8 (i32.const 512) (i32.const 1))
    (i32.store16 (i32.const 516) (i32.const 409))
    (i32.store (i32.const 520) (i32.const 50001))
    (i32.store (i32.const 524) (i32.const 1180))
    (i32.store (i32.const 528) (i32.const 10))
    (i32.const 512))

  (func (export "greenroom:plugin/api@0.1.0#handle") (param $request i32) (result i32)
    (local $do i32) (local $n i32)
    (local.set $do (call $first (i32.load offset=32 (local.get $request)) (i32.load offset=36 (local.get $request))))
    ;; l: loops for ever
    (if (i32.eq (local.get $do) (i32.const 108)) (then (call $spin)))
    ;; m: takes memory for ever
    (if (i32.eq (local.get $do) (i32.const 109)) (then (call $hog)))
    ;; r: recurses for ever
    (if (i32.eq (local.get $do) (i32.const 114)) (then (drop (call $recurse (i32.const 0)))))
    ;; t: traps
    (if (i32.eq (local.get $do) (i32.const 116)) (then unreachable))
    ;; f: calls the host for ever
    (if (i32.eq (local.get $do) (i32.const 102)) (then (call $flood)))
    ;; b: asks for too many random bytes
    (if (i32.eq (local.get $do) (i32.const 98)) (then (call $random (i64.const 4097) (i32.const 2048))))
    ;; u: pushes bytes that are not UTF-8
    (if (i32.eq (local.get $do) (i32.const 117)) (then (call $push (i32.const 1140) (i32.const 3))))
    ;; o: pushes a text that lies outside its memory
    (if (i32.eq (local.get $do) (i32.const 111)) (then (call $push (i32.const 1060) (i32.const 0x7fffffff))))
    ;; y: answers with bytes outside its memory
    (if (i32.eq (local.get $do) (i32.const 121))
      (then (return (call $answer (i32.const 1080) (i32.const 0x7fffffff)))))
    ;; g: answers with 2 MiB of nothing
    (if (i32.eq (local.get $do) (i32.const 103))
      (then
        (drop (memory.grow (i32.const 40)))
        (return (call $answer (i32.const 0) (i32.const 2097152)))))
    ;; j: answers with something that is not JSON
    (if (i32.eq (local.get $do) (i32.const 106)) (then (return (call $answer (i32.const 1160) (i32.const 8)))))
    ;; p: pushes 1,000 times; what the last one was told is the answer's concern: the variant's number
    (if (i32.eq (local.get $do) (i32.const 112))
      (then
        (local.set $n (i32.const 900))
        (loop $more
          (call $push (i32.const 1060) (i32.const 7))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br_if $more (local.get $n)))))
    ;; L: writes 500 lines of 64 KiB to the log
    (if (i32.eq (local.get $do) (i32.const 76))
      (then
        (local.set $n (i32.const 500))
        (loop $more
          (call $log (i32.const 2) (i32.const 1024) (i32.const 3) (i32.const 65536) (i32.const 65536))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br_if $more (local.get $n)))))
    ;; T: sets a timer that is due at once; C: cancels it; both refuse if the host does
    (if (i32.eq (local.get $do) (i32.const 84))
      (then
        (call $set-timer (i32.const 1024) (i32.const 3) (i64.const 0)
          (i32.const 1120) (i32.const 14) (i32.const 2048))
        (if (i32.load8_u (i32.const 2048)) (then (return (call $problem))))))
    (if (i32.eq (local.get $do) (i32.const 67))
      (then
        (call $cancel-timer (i32.const 1024) (i32.const 3) (i32.const 2048))
        (if (i32.load8_u (i32.const 2048)) (then (return (call $problem))))))
    ;; s: saves and pushes; x: the same, then traps; q: the same, then refuses
    (if (i32.or (i32.eq (local.get $do) (i32.const 115))
        (i32.or (i32.eq (local.get $do) (i32.const 120)) (i32.eq (local.get $do) (i32.const 113))))
      (then
        (call $save)
        (call $push (i32.const 1060) (i32.const 7))
        (if (i32.eq (local.get $do) (i32.const 120)) (then unreachable))))
    (if (i32.eq (local.get $do) (i32.const 113)) (then (return (call $problem))))
    (call $answer (i32.const 1080) (i32.const 11)))

  ;; Verdicts: t traps, l loops, n leaves one verdict out, d rejects, R acts in the message's room and rejects if the host refuses;
  ;; all others are acknowledged.
  (func (export "greenroom:plugin/consumer@0.1.0#handle") (param $batch i32) (param $len i32) (result i32)
    (local $i i32) (local $message i32) (local $do i32) (local $short i32) (local $verdict i32)
    (memory.fill (i32.const 65536) (i32.const 0) (i32.const 12000))
    (if (local.get $len)
      (then
        (loop $next
          (local.set $message (i32.add (local.get $batch) (i32.mul (local.get $i) (i32.const 112))))
          (local.set $do (call $first
            (i32.load offset=104 (local.get $message)) (i32.load offset=108 (local.get $message))))
          (if (i32.eq (local.get $do) (i32.const 116)) (then unreachable))
          (if (i32.eq (local.get $do) (i32.const 108)) (then (call $spin)))
          (if (i32.eq (local.get $do) (i32.const 110)) (then (local.set $short (i32.const 1))))
          (if (i32.eq (local.get $do) (i32.const 82))
            (then
              (if (call $act-in (i64.load offset=40 (local.get $message))) (then (local.set $do (i32.const 100))))))
          (if (i32.eq (local.get $do) (i32.const 100))
            (then
              (local.set $verdict (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 12))))
              (i32.store8 (local.get $verdict) (i32.const 2))
              (i32.store offset=4 (local.get $verdict) (i32.const 1120))
              (i32.store offset=8 (local.get $verdict) (i32.const 14))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (local.get $len))))))
    (i32.store (i32.const 512) (i32.const 65536))
    (i32.store (i32.const 516) (i32.sub (local.get $len) (local.get $short)))
    (i32.const 512))

  ;; Agrees to being enabled, refuses the start of a stream, traps at its end.
  (func (export "greenroom:plugin/lifecycle@0.1.0#on") (param $occasion i32) (param i32 i32) (result i32)
    (if (i32.eq (local.get $occasion) (i32.const 3)) (then unreachable))
    (i32.store8 (i32.const 512) (i32.eq (local.get $occasion) (i32.const 2)))
    (i32.store (i32.const 516) (i32.const 1120))
    (i32.store (i32.const 520) (i32.const 14))
    (i32.const 512))

  ;; Traps for a payload that begins with t.
  (func (export "greenroom:plugin/timer-handler@0.1.0#fire") (param i32 i32) (param $at i32) (param $len i32) (result i32)
    (if (i32.eq (call $first (local.get $at) (local.get $len)) (i32.const 116)) (then unreachable))
    (i32.store8 (i32.const 512) (i32.const 0))
    (i32.const 512)))
