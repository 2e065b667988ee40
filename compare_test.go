package clientv3

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestCompareOfEveryTargetAndResult(t *testing.T) {
	results := map[string]pb.Compare_CompareResult{
		"=": pb.Compare_EQUAL, "!=": pb.Compare_NOT_EQUAL, ">": pb.Compare_GREATER,
		"<": pb.Compare_LESS,
	}
	tests := []struct {
		name  string
		begin func(key string) Cmp
		v     any
		want  *pb.Compare
	}{
		{"value", Value, "v", &pb.Compare{Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{Value: []byte("v")}}},
		{"empty value", Value, "", &pb.Compare{Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{Value: []byte{}}}},
		{"version", Version, 3, &pb.Compare{Target: pb.Compare_VERSION,
			TargetUnion: &pb.Compare_Version{Version: 3}}},
		{"create", CreateRevision, int64(4), &pb.Compare{Target: pb.Compare_CREATE,
			TargetUnion: &pb.Compare_CreateRevision{CreateRevision: 4}}},
		{"mod", ModRevision, int64(-5), &pb.Compare{Target: pb.Compare_MOD,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: -5}}},
		{"lease", LeaseValue, LeaseID(6), &pb.Compare{Target: pb.Compare_LEASE,
			TargetUnion: &pb.Compare_Lease{Lease: 6}}},
		{"lease as int64", LeaseValue, int64(6),
			&pb.Compare{Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: 6}}},
		{"lease as int", LeaseValue, 6, &pb.Compare{Target: pb.Compare_LEASE,
			TargetUnion: &pb.Compare_Lease{Lease: 6}}},
	}
	for _, tt := range tests {
		for sign, result := range results {
			cmp := Compare(tt.begin("k"), sign, tt.v)
			tt.want.Key, tt.want.Result = []byte("k"), result
			requireProto(t, tt.want, cmp.GetCompare())
			again := FromCompare(cmp.GetCompare())
			requireProto(t, tt.want, again.GetCompare())
		}
	}
}

func TestComparePanicsNameTheValue(t *testing.T) {
	unknown := FromCompare(&pb.Compare{Key: []byte("k"), Target: 42})
	tests := []struct {
		cmp    Cmp
		result string
		v      any
		want   string
	}{
		{Value("k"), "==", "v", `etcdclient: Compare knows the results "=", "!=", ">" and "<", not "=="`},
		{Value("k"), "", "v", `etcdclient: Compare knows the results "=", "!=", ">" and "<", not ""`},
		{Value("k"), "=", 7, `etcdclient: Compare cannot compare VALUE with 7 of type int`},
		{Value("k"), "=", []byte("v"), `etcdclient: Compare cannot compare VALUE with [118] of type []uint8`},
		{Version("k"), "=", "7", `etcdclient: Compare cannot compare VERSION with 7 of type string`},
		{CreateRevision("k"), "=", nil, `etcdclient: Compare cannot compare CREATE with <nil> of type <nil>`},
		{ModRevision("k"), "=", uint64(7), `etcdclient: Compare cannot compare MOD with 7 of type uint64`},
		{ModRevision("k"), "=", LeaseID(7), `etcdclient: Compare cannot compare MOD with 7 of type clientv3.LeaseID`},
		{LeaseValue("k"), "=", 7.5, `etcdclient: Compare cannot compare LEASE with 7.5 of type float64`},
		{unknown, "=", "v", `etcdclient: Compare does not know the target 42`},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, panicText(func() { Compare(tt.cmp, tt.result, tt.v) }))
	}
}

func TestCmpRanges(t *testing.T) {
	tests := []struct {
		cmp      Cmp
		key, end string
	}{
		{Value("a").WithRange("c"), "a", "c"},
		{Value("ab").WithPrefix(), "ab", "ac"},
		{Value("a\xff").WithPrefix(), "a\xff", "b"},
		{Value("\xff").WithPrefix(), "\xff", "\x00"},
		{Value("").WithPrefix(), "\x00", "\x00"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.key, string(tt.cmp.KeyBytes()))
		assert.Equal(t, tt.end, string(tt.cmp.GetCompare().RangeEnd))
	}
}

// TestCmpIsAValue changes copies in every way there is; the original stays.
func TestCmpIsAValue(t *testing.T) {
	original := Compare(Value("k"), "=", "v")
	want := original.Clone()

	changed := original
	changed.WithKeyBytes([]byte("k2"))
	changed.WithValueBytes([]byte("v2"))
	assert.Equal(t, "k2 v2", string(changed.KeyBytes())+" "+string(changed.ValueBytes()))
	Compare(original, "!=", "w")
	original.WithPrefix()
	original.WithRange("z")

	requireProto(t, want.GetCompare(), original.GetCompare())
	assert.Equal(t, "k v", string(original.KeyBytes())+" "+string(original.ValueBytes()))
	assert.Nil(t, func() []byte { c := Compare(Version("k"), "=", 1); return c.ValueBytes() }())
}

func TestCmpCloneIsDeep(t *testing.T) {
	original := Compare(Value("k"), "=", "v").WithRange("z")
	clone := original.Clone()
	original.KeyBytes()[0], original.ValueBytes()[0], original.GetCompare().RangeEnd[0] = 'X', 'X',
		'X'
	want := Compare(Value("k"), "=", "v").WithRange("z")
	requireProto(t, want.GetCompare(), clone.GetCompare())
}

func TestZeroCmp(t *testing.T) {
	for _, c := range []Cmp{{}, FromCompare(nil)} {
		requireProto(t, &pb.Compare{}, c.GetCompare())
		assert.Empty(t, c.KeyBytes())
		assert.Empty(t, c.ValueBytes())
		require.Equal(t, Cmp{}, c.Clone())
		c.WithKeyBytes([]byte("k"))
		c.WithValueBytes([]byte("v"))
		assert.Equal(t, "k v", string(c.KeyBytes())+" "+string(c.ValueBytes()))
	}
}
