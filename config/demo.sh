#!/usr/bin/env bash
# Runs the main job by commands on the stand-in: connects two accounts, publishes sample events, delivers and explains them.
# docker-compose.yml runs it with `--profile demo`.
set -euo pipefail

events=$(dirname "$0")/sample-events.jsonl
say() { printf '\n== %s\n' "$*"; }

account() {  # account ID KEY LIST...: connects it; its first list is the master list
    local id=$1 key=$2
    shift 2
    say "Account $id: connect and enable it, read its lists, store those to use, choose the master list"
    mailchimp-worker account connect "$id" --api-key-stdin <<<"$key"
    mailchimp-worker account enable "$id"
    mailchimp-worker lists refresh "$id"
    mailchimp-worker lists store "$id" "$@"
    mailchimp-worker lists master "$id" "$1"
}

# Keys and lists of the stand-in.
account leeds-plumbing 5a0db0c5e5a0db0c5e5a0db0c5e00001-us1 a1b2c3d4e5 a1b2c3d4e6
account harbour-books 5a0db0c5e5a0db0c5e5a0db0c5e00002-us1 b1b2c3d4e5 b1b2c3d4e6

say "Send the customers' attribute plan to the merge field PLAN of the list All customers"
mailchimp-worker lists map leeds-plumbing a1b2c3d4e5 PLAN=plan

say "Publish sample events to Kafka, read and deliver them"
mailchimp-worker publish "$events"
mailchimp-worker run --once || [ $? -eq 3 ]  # 3: somebody must look, as the output says

say "Why is lena not on the list?"
mailchimp-worker explain left@leeds-plumbing.example

say "Look at the pages, in a few seconds"
echo "The operators' page:                       http://localhost:${WORKER_WEB__PORT:-8080}/"
echo "  Sign in with this start's token:         ${WORKER_WEB__TOKEN:-the one that you set as WORKER_WEB__TOKEN}"
echo "An account's page, as its owner sees it. This link works once, within five minutes:"
echo "  $(mailchimp-worker link leeds-plumbing --name You 2>/dev/null)"
echo "  Another one:                             docker compose exec demo mailchimp-worker link leeds-plumbing"
echo "Every call to the Mailchimp stand-in:      http://localhost:8090/sandbox/calls"
echo "Each change of a member's status:          http://localhost:8090/sandbox/audit"
echo "Ask the worker:                            docker compose exec demo mailchimp-worker status"
echo "Publish events of your own:                docker compose exec -T demo mailchimp-worker publish - < events.jsonl"
