package clientv3_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// requireCompare fails the test unless the message of cmp is want.
func requireCompare(t *testing.T, want *pb.Compare, cmp clientv3.Cmp) {
	t.Helper()
	require.True(t, proto.Equal(want, cmp.GetCompare()), "want %v\ngot  %v", want,
		cmp.GetCompare())
}

func TestCompareOfEveryTargetAndResult(t *testing.T) {
	results := map[string]pb.Compare_CompareResult{
		"=": pb.Compare_EQUAL, "!=": pb.Compare_NOT_EQUAL, ">": pb.Compare_GREATER,
		"<": pb.Compare_LESS,
	}
	tests := []struct {
		name  string
		begin func(key string) clientv3.Cmp
		v     any
		want  *pb.Compare
	}{
		{"value", clientv3.Value, "v", &pb.Compare{Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{Value: []byte("v")}}},
		{"empty value", clientv3.Value, "", &pb.Compare{Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{Value: []byte{}}}},
		{"version", clientv3.Version, 3, &pb.Compare{Target: pb.Compare_VERSION,
			TargetUnion: &pb.Compare_Version{Version: 3}}},
		{"create", clientv3.CreateRevision, int64(4), &pb.Compare{Target: pb.Compare_CREATE,
			TargetUnion: &pb.Compare_CreateRevision{CreateRevision: 4}}},
		{"mod", clientv3.ModRevision, int64(-5), &pb.Compare{Target: pb.Compare_MOD,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: -5}}},
		{"lease", clientv3.LeaseValue, clientv3.LeaseID(6), &pb.Compare{Target: pb.Compare_LEASE,
			TargetUnion: &pb.Compare_Lease{Lease: 6}}},
		{"lease as int64", clientv3.LeaseValue, int64(6),
			&pb.Compare{Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: 6}}},
		{"lease as int", clientv3.LeaseValue, 6, &pb.Compare{Target: pb.Compare_LEASE,
			TargetUnion: &pb.Compare_Lease{Lease: 6}}},
	}
	for _, tt := range tests {
		for sign, result := range results {
			cmp := clientv3.Compare(tt.begin("k"), sign, tt.v)
			tt.want.Key, tt.want.Result = []byte("k"), result
			requireCompare(t, tt.want, cmp)
			again := clientv3.FromCompare(cmp.GetCompare())
			requireCompare(t, tt.want, again)
		}
	}
}

func TestComparePanicsNameTheValue(t *testing.T) {
	unknown := clientv3.FromCompare(&pb.Compare{Key: []byte("k"), Target: 42})
	tests := []struct {
		cmp    clientv3.Cmp
		result string
		v      any
		want   string
	}{
		{clientv3.Value("k"), "==", "v", `knows the results "=", "!=", ">" and "<", not "=="`},
		{clientv3.Value("k"), "", "v", `knows the results "=", "!=", ">" and "<", not ""`},
		{clientv3.Value("k"), "=", 7, `cannot compare VALUE with 7 of type int`},
		{clientv3.Value("k"), "=", []byte("v"),
			`cannot compare VALUE with [118] of type []uint8`},
		{clientv3.Version("k"), "=", "7", `cannot compare VERSION with 7 of type string`},
		{clientv3.CreateRevision("k"), "=", nil,
			`cannot compare CREATE with <nil> of type <nil>`},
		{clientv3.ModRevision("k"), "=", uint64(7),
			`cannot compare MOD with 7 of type uint64`},
		{clientv3.ModRevision("k"), "=", clientv3.LeaseID(7),
			`cannot compare MOD with 7 of type clientv3.LeaseID`},
		{clientv3.LeaseValue("k"), "=", 7.5, `cannot compare LEASE with 7.5 of type float64`},
		{unknown, "=", "v", `does not know the target 42`},
	}
	for _, tt := range tests {
		assert.Equal(t, "etcdclient: Compare "+tt.want, panicText(func() {
			clientv3.Compare(tt.cmp, tt.result, tt.v)
		}))
	}
}

func TestCmpRanges(t *testing.T) {
	tests := []struct {
		cmp      clientv3.Cmp
		key, end string
	}{
		{clientv3.Value("a").WithRange("c"), "a", "c"},
		{clientv3.Value("ab").WithPrefix(), "ab", "ac"},
		{clientv3.Value("a\xff").WithPrefix(), "a\xff", "b"},
		{clientv3.Value("\xff").WithPrefix(), "\xff", "\x00"},
		{clientv3.Value("").WithPrefix(), "\x00", "\x00"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.key, string(tt.cmp.KeyBytes()))
		assert.Equal(t, tt.end, string(tt.cmp.GetCompare().RangeEnd))
	}
}

// TestCmpIsAValue changes copies of a Cmp in every way. The original does not change.
func TestCmpIsAValue(t *testing.T) {
	original := clientv3.Compare(clientv3.Value("k"), "=", "v")
	want := original.Clone()

	changed := original
	changed.WithKeyBytes([]byte("k2"))
	changed.WithValueBytes([]byte("v2"))
	assert.Equal(t, "k2 v2", string(changed.KeyBytes())+" "+string(changed.ValueBytes()))
	clientv3.Compare(original, "!=", "w")
	original.WithPrefix()
	original.WithRange("z")

	requireCompare(t, want.GetCompare(), original)
	assert.Equal(t, "k v", string(original.KeyBytes())+" "+string(original.ValueBytes()))
	assert.Nil(t, func() []byte {
		c := clientv3.Compare(clientv3.Version("k"), "=", 1)
		return c.ValueBytes()
	}())
}

func TestCmpCloneIsDeep(t *testing.T) {
	original := clientv3.Compare(clientv3.Value("k"), "=", "v").WithRange("z")
	clone := original.Clone()
	original.KeyBytes()[0], original.ValueBytes()[0], original.GetCompare().RangeEnd[0] = 'X', 'X',
		'X'
	want := clientv3.Compare(clientv3.Value("k"), "=", "v").WithRange("z")
	requireCompare(t, want.GetCompare(), clone)
}

func TestZeroCmp(t *testing.T) {
	for _, c := range []clientv3.Cmp{{}, clientv3.FromCompare(nil)} {
		requireCompare(t, &pb.Compare{}, c)
		assert.Empty(t, c.KeyBytes())
		assert.Empty(t, c.ValueBytes())
		require.Equal(t, clientv3.Cmp{}, c.Clone())
		c.WithKeyBytes([]byte("k"))
		c.WithValueBytes([]byte("v"))
		assert.Equal(t, "k v", string(c.KeyBytes())+" "+string(c.ValueBytes()))
	}
}
