#!/bin/sh
# Lists gifts, sends one, shows a balance, or watches a room, with curl alone.
#
#   export GREENROOM_TOKEN=$(greenroom token --user 1001 --role viewer)
#   examples/clients/gift.sh list 1
#   examples/clients/gift.sh send 1 2002 3
#   examples/clients/gift.sh balance
#   examples/clients/gift.sh watch 1
#
# GREENROOM_URL is the server, http://127.0.0.1:8080 unless set.
set -eu

url=${GREENROOM_URL:-http://127.0.0.1:8080}/v1

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

call() {
  curl --silent --show-error --header "Authorization: Bearer ${GREENROOM_TOKEN:?is not set; see greenroom token}" "$@"
  echo
}

# The event id is made once and kept over all tries: whatever happens on the way, the gift is paid once.
# On the last try curl shows the answer, a refusal included; --retry covers 429, 503 and lost connections.
send() {
  event_id=$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen)
  call --retry 5 --retry-connrefused --header 'Content-Type: application/json' \
    --data "{\"eventId\":\"$event_id\",\"giftId\":\"$2\",\"count\":${3:-1}}" "$url/rooms/$1/gifts"
}

case "${1:-}:$#" in
  list:2) call "$url/rooms/$2/gifts" ;;
  send:3 | send:4) shift && send "$@" ;;
  balance:1) call "$url/users/me/assets" ;;
  ranking:2) call "$url/rooms/$2/gifts/ranking?period=stream" ;;
  watch:2) call --no-buffer --header 'Accept: text/event-stream' "$url/rooms/$2/events" ;;
  *) usage ;;
esac
