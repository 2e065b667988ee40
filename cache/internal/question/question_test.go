package question_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"go.etcd.io/etcd/client/v3/cache/internal/question"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	line  = question.Line[string, int]
	asked = question.Question[string, int]
)

var start = time.Unix(1000, 0)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func numbers() func() int {
	n := 0
	return func() int { n++; return n }
}

func TestReadersShareTheNextQuestion(t *testing.T) {
	var l line
	answer := numbers()
	first := l.Join("a", at(0), answer)
	require.Same(t, first, l.Send(at(1)))
	second := l.Join("a", at(2), answer)
	require.NotSame(t, first, second)
	require.Same(t, second, l.Join("b", at(3), answer))
	require.Same(t, second, l.Join("a", at(4), answer))
	require.Equal(t, []string{"a", "b"}, second.Parties)
	require.Equal(t, 3, second.Readers)
	require.Nil(t, l.Send(at(4)), "one is under way")
	l.Over()
	require.Same(t, second, l.Send(at(5)))
	require.Equal(t, 2, second.Answer)
	l.Over()
	require.Nil(t, l.Send(at(6)), "there is no next one")
}

func TestReadersOfAnOlderStateShareTheQuestionUnderWay(t *testing.T) {
	var l line
	first := l.Join("a", at(0), numbers())
	l.Send(at(1))
	require.Same(t, first, l.Join("a", at(0), numbers()))
	require.NotSame(t, first, l.Join("a", at(1), numbers()), "which came first is not known")
	require.NotSame(t, first, l.Join("b", at(0), numbers()), "b was not asked what it knew")
}

// TestRandomReaders runs three steps in any order: a reader joins a question (a shared linearizable
// read), a question is sent, and a question is answered. No reader waits for more than two
// questions.
func TestRandomReaders(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	type reader struct {
		q     *asked
		after time.Time
		seen  int // answers since it joined
	}
	var (
		l        line
		underWay *asked
		waiting  []*reader
		answered = map[*asked]bool{}
	)
	for n := range 20_000 {
		switch rnd.IntN(3) {
		case 0:
			r := &reader{after: at(n - rnd.IntN(8))}
			r.q = l.Join("a", r.after, numbers())
			waiting = append(waiting, r)
		case 1:
			q := l.Send(at(n))
			require.True(t, q == nil || underWay == nil, "two are under way")
			if q != nil {
				underWay = q
			}
		case 2:
			if underWay == nil {
				continue
			}
			l.Over()
			answered[underWay], underWay = true, nil
			left := waiting[:0]
			for _, r := range waiting {
				r.seen++
				if answered[r.q] {
					require.True(t, !r.q.SentAt.Before(r.after))
				} else {
					require.LessOrEqual(t, r.seen, 1, "a reader waits for two questions at most")
					left = append(left, r)
				}
			}
			waiting = left
		}
	}
	require.Greater(t, len(answered), 1000)
}
