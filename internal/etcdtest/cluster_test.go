package etcdtest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOneMember(t *testing.T) {
	c := Start(t)
	require.Equal(t, []string{c.Members()[0].Endpoint()}, c.Endpoints())
	require.True(t, strings.HasPrefix(c.Endpoints()[0], "http://127.0.0.1:"), c.Endpoints()[0])
	require.Nil(t, c.TLSConfig())
	putGet(t, c, "v")
}

func TestThreeMembers(t *testing.T) {
	c := Start(t, WithMembers(3))
	require.Len(t, c.Endpoints(), 3)
	putGet(t, c, "v")
	leader := c.Leader()
	require.NotNil(t, leader)
	require.NotZero(t, leader.ID())
	leader.Kill()
	next := c.Leader()
	require.NotNil(t, next)
	require.NotSame(t, leader, next)
	require.NoError(t, leader.Restart())
	putGet(t, c, "w")
}

func TestTLS(t *testing.T) {
	c := Start(t, WithTLS())
	require.True(t, strings.HasPrefix(c.Endpoints()[0], "https://"), c.Endpoints()[0])
	putGet(t, c, "v")
}

func TestUnix(t *testing.T) {
	c := Start(t, WithUnixSocket())
	putGet(t, c, "v")
}
