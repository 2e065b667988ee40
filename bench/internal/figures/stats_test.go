package figures

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMedianAndQuantile(t *testing.T) {
	require.Zero(t, Median(nil))
	require.Equal(t, 2.0, Median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, Median([]float64{4, 1, 2, 3}))
	require.Zero(t, Quantile([]int(nil), 0.99))
	low, middle, high := Quartiles([]float64{4, 1, 3, 2, 5})
	require.Equal(t, []float64{2, 3, 4}, []float64{low, middle, high})
	require.Equal(t, 1, Quantile([]int{1, 2, 3, 4}, 0))
	require.Equal(t, 3, Quantile([]int{1, 2, 3, 4}, 0.5))
	require.Equal(t, 4, Quantile([]int{1, 2, 3, 4}, 1))
}

func TestMedianLeavesItsArgumentInOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	Median(values)
	require.Equal(t, []float64{3, 1, 2}, values)
}

func TestQuotientsAreFormedWithinARound(t *testing.T) {
	require.Equal(t, []float64{2, 0.5}, Quotients([]float64{2, 2, 5}, []float64{1, 4}))
	require.Empty(t, Quotients([]float64{1}, []float64{0}))
}
