package figures

import "slices"

// Median returns the middle one of the sorted values. If their number is even, it returns the mean
// of the two in the middle. Without values, it returns zero.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Quartiles returns the values below which a quarter, half and three quarters of the values lie.
func Quartiles(values []float64) (low, middle, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	return Quantile(sorted, 0.25), Median(sorted), Quantile(sorted, 0.75)
}

// Quantile returns the value below which the share q of the sorted values lies. Without values, it
// returns zero.
func Quantile[T any](sorted []T, q float64) T {
	var zero T
	if len(sorted) == 0 {
		return zero
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Quotients divides values that were measured side by side. The load by other programs changes from
// round to round, so the median of quotients says more than the quotient of medians. A value
// without a partner, or whose partner is not positive, has no quotient.
func Quotients(above, below []float64) []float64 {
	var quotients []float64
	for i := range min(len(above), len(below)) {
		if below[i] > 0 {
			quotients = append(quotients, above[i]/below[i])
		}
	}
	return quotients
}
