package main

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// chart draws the CPU of both clients as a share of the stub's.
func (r *results) chart(path string, works []work) error {
	p := plot.New()
	p.Title.Text = "CPU an operation, stub = 1"
	p.Y.Min = 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	var names []string
	var this, published plotter.Values
	for _, c := range r.comparisons(works) {
		base := figures.Stub
		if c.work.noStub {
			continue
		}
		names = append(names, c.work.name)
		this = append(this, c.ratio(cpu, figures.This, base))
		published = append(published, c.ratio(cpu, figures.Published, base))
	}
	for i, bars := range []struct {
		name   string
		values plotter.Values
		color  color.RGBA
	}{
		{"this client", this, color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}},
		{"published client", published, color.RGBA{R: 0xc0, G: 0xc0, B: 0xc0, A: 0xff}},
	} {
		chart, err := plotter.NewBarChart(bars.values, vg.Points(16))
		if err != nil {
			return err
		}
		chart.Color, chart.LineStyle.Width = bars.color, 0
		chart.Offset = vg.Points(float64(i*16 - 8))
		p.Add(chart)
		p.Legend.Add(bars.name, chart)
	}
	p.NominalX(names...)
	return p.Save(vg.Points(float64(120+70*len(names))), vg.Points(260), path)
}
