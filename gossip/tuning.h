/* gossip/tuning.h: times, rates and sizes of the machine, with their reasons in docs/gossip.md. */
#pragma once
#include "base/time.h"
#include "gossip/datagram.h"

#define OBSERVERS_MAX 8u            /* K: who probes a member */
#define PROBE_PERIOD_US SEC(1)      /* from one probe of a member to the next */
#define PROBE_PERIOD_MANY_US SEC(2) /* where a member has K observers, who wake each other */
#define PROBE_TIMEOUT_US MSEC(400)  /* of the first ping */
#define PROBE_AGAIN_US MSEC(300)    /* of each further round, with relays */
#define PROBE_ROUNDS_FAST 20u       /* rounds at that pace; then one a period */
#define RELAYS 2u                   /* asked in each further round */
#define RELAY_US MSEC(200)          /* a relay waits that long before it says no */
#define EVIDENCE_US SEC(1)          /* a data-path answer this recent spares a ping */
#define EVIDENCE_PING_US SEC(5)     /* but digests are exchanged at least that often */
#define PING_LIFE_US SEC(2)         /* a later ack is no news */
#define VOTE_LIFE_US SEC(10)        /* without being renewed */
#define VOTE_RENEW_US SEC(3)        /* by its observer */
#define SLOW_US SEC(3)              /* a quorum of the sound observers only must last that long */
#define ASK_US MSEC(1500)           /* before that its voters look which observers answer */
#define SOUND_US SEC(4)             /* an observer that answered so lately is sound */
#define HOLD_US MSEC(700)           /* nothing changed for that long: decide */
#define NOTICE_US MSEC(300) /* a decision comes into force that much later, for all together */
#define WINDOW 16u          /* pings of a member that are looked at for bad links */
#define WINDOW_MASK 0xffffu
#define WINDOW_MORE 10u        /* so many more are lost than of the median member: it is lossy */
#define WINDOW_STILL 7u        /* so many more: it still is */
#define WINDOW_WELL 3u         /* so many answers in a row: it is no more, whatever was before */
#define WINDOW_DOUBT 4u        /* so many more: it is asked more often */
#define LOSSY_HOLD_US SEC(4)   /* enough find it so for that long: it is to go */
#define LOSSY_SURE_US SEC(1)   /* who is then missed is lossy, and not merely dead */
#define LOSSY_NOTICE_US SEC(2) /* and others with it */
#define LONELY_US SEC(3)       /* no answer of anybody for that long */
#define LONELY_LATELY_US SEC(5)
#define STILL_LATELY_US SEC(20) /* who stood still so lately knows why it was removed */
#define ASKS_APART_US MSEC(400) /* by then who asked may have heard an answer */
#define LISTEN_US MSEC(200)     /* who was cut off listens what was wrong before it says it lives */
#define HELD_US SEC(30)         /* who was removed alive owns no sooner; doubles */
#define HELD_DOUBLES 3u         /* up to four minutes */
#define HELD_WELL_US SEC(20)    /* nor sooner after most of what it sent was lost */
#define HELD_FREE 2u            /* so often who was merely cut off comes back at once */
#define HELD_FORGET_US SEC(600) /* without a removal */
#define WITNESSES 3u            /* packets that say the same, before who is warming owns */
#define RETURN_US SEC(2)        /* owners that come back by themselves wait for others to */
#define FORCE_US SEC(10)        /* a cut waits no longer than this */
#define REVIEW_US MSEC(100)     /* pace of looking while something is undecided */
#define NEWCOMERS_MAX 64u       /* so few that start together need not be gentle */
#define REVIEW_AGAIN_US MSEC(20) /* after changes, between two reviews */
#define PUBLISH_US MSEC(50)      /* changes that come together are published together */
#define FLOOD_US MSEC(10)        /* a new one waits that long for others */
#define FLOOD_FANOUT 5u          /* members it is told to at once */
#define RIDES 4u                 /* other packets that take it along afterwards */
#define RIDES_RECORD 1u
#define ACCUSED_US MSEC(1500)   /* a member said to be dead has that long to answer us */
#define FRESH_US MSEC(1500)     /* an answer this young contradicts "dead" */
#define PULL_QUIET_US MSEC(300) /* rumours on their way are not worth a repair */
#define PULL_NEXT_US MSEC(50)   /* from one that brought something to the next */
#define PULL_TURN_US MSEC(5)    /* before we pull from who just does so from us */
#define PULL_IDLE_US MSEC(100)  /* from one that brought nothing; doubles */
#define PULL_IDLE_MAX_US SEC(2)
#define PULL_LIFE_US MSEC(400)   /* without a packet of it */
#define SYNC_STEP_US MSEC(10)    /* between two bursts of an answer */
#define SYNC_BURST 8u            /* packets in each */
#define SYNC_PACKETS 54u         /* 64 KiB: then it is for them to ask somebody else */
#define HEAL_US SEC(5)           /* contact a seed or dead member, for ever */
#define JOIN_FIRST_US MSEC(250)  /* while gathering or alone; doubles up to HEAL_US, */
#define JOIN_GATHERING_US SEC(1) /* or to this, as long as somebody is expected */
#define JOIN_PATIENCE_US SEC(5)  /* seeds that do not answer are waited for */
#define RESOLVE_ALONE_US SEC(5)
#define RESOLVE_US SEC(60)
#define CONTEST_US MSEC(300) /* between pings to the process that had the id before */
#define CONTEST_TRIES 3u
#define FAREWELL_AGAIN_US MSEC(300)
#define FAREWELL_US SEC(2)            /* LEFT is said that long at most */
#define TOMBSTONE_SHARE_US SEC(43200) /* 12 h: told to others */
#define TOMBSTONE_US SEC(86400)       /* 24 h: kept */
#define SWEEP_US SEC(30)
#define STALL_US MSEC(500) /* a tick this late: we stood still */
#define HEALTH_MAX 8u
#define HEALTH_MUTE 4u /* from here on we accuse nobody */
#define HEALTH_DECAY_US SEC(2)
#define CATALOG_AGAIN_US SEC(2) /* the same difference is told again */
#define PROBE_RATE 524288       /* bytes a second: answers are never the bottleneck */
#define BULK_RATE 131072        /* repair, and what rides along */
#define BULK_BURST 1048576
#define FLOOD_RATE 12288 /* more is left to repair, which tells nobody what he knows */
#define FLOOD_BURST 16384

#define LONG_AGO (-SEC(1000000000))
#define NO_PEER UINT32_MAX
#define VOTERS_MAX DATAGRAM_VOTES_MAX /* K and some whose view differed */
#define DOUBTS_MAX 64u /* members that we observe, and some of whom others think so */
#define PINGS_MAX 128u /* in flight: number mod this is the place */
#define RELAYINGS_MAX 64u
#define SYNCS_MAX 4u
#define CONTESTS_MAX 4u
#define NOTICES_MAX 256u
#define CATALOGS_MAX 64u
#define LOADS_MAX 32u        /* 8 that we observe, 8 observers, and who was met lately */
#define LOADS_KEPT_US SEC(7) /* a busy member is pinged every 5 s */
#define EFFECTS_RESERVED 12u /* kept for what is no packet */
