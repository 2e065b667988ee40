package etcdfake

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Of any number of watches and leases the newest are known, and no more than a bounded number is
// kept.
func TestNotesAreBounded(t *testing.T) {
	const made = 100_000
	table := newCallerTable()
	for i := range made {
		table.noteWatch(notedWatch{ctx: context.Background(), key: string(rune(i)), from: caller()})
		table.noteLease(&openCall{from: caller()}, &pb.LeaseGrantResponse{ID: int64(i)})
	}
	assert.LessOrEqual(t, len(table.watches), 2*keptNotes)
	assert.LessOrEqual(t, len(table.leases), keptNotes)
	assert.NotNil(t, table.lease(made-1))
	assert.NotNil(t, table.watchedKeys()[string(rune(made-1))])
	table.noteLease(&openCall{req: &pb.LeaseRevokeRequest{ID: made - 1}}, &pb.LeaseRevokeResponse{})
	assert.Nil(t, table.lease(made-1))
}
