package main

import (
	"context"
	"strings"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// barrierRounds is how many double barriers the two programs go through together. If the two
// clients had different rules for the order of leaving, a round would hang within some hundred
// rounds.
const barrierRounds = "300"

// mixedWant is the output of the two programs if no round hangs.
var mixedWant = strings.Repeat("all rounds are over\nends well\n", 2)

// mixed runs two programs, one built with each client, that enter and leave the same double
// barriers. It returns the outputs of both.
func mixed(ctx context.Context, own, published programs) (string, error) {
	server, err := etcdtest.New()
	if err != nil {
		return "", err
	}
	defer server.Close()
	var both []*process
	for _, p := range []programs{own, published} {
		started, err := start(ctx, 3*timeout, "", p.doubleBarrier(), "-endpoint",
			server.Endpoints()[0], "-clients", "2", "-of", "4", "-rounds", barrierRounds)
		if err != nil {
			return "", err
		}
		both = append(both, started)
	}
	var out strings.Builder
	for _, p := range both {
		out.WriteString(p.wait())
	}
	return out.String(), nil
}
