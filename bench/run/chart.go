package main

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// chart draws the CPU of this client and of the published one, each divided by that of gRPC's stub.
func (r *results) chart(path string, works []work) error {
	p := plot.New()
	p.Title.Text = "CPU of the client for an operation; bare gRPC stub = 1, less is better"
	p.Y.Min = 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	var names []string
	var this, published plotter.Values
	for _, c := range r.comparisons(works) {
		if c.work.noStub {
			continue
		}
		names = append(names, c.work.name)
		this = append(this, c.ratio(cpu, figures.This, figures.Stub))
		published = append(published, c.ratio(cpu, figures.Published, figures.Stub))
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
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	p.Y.Max = slices.Max(slices.Concat(this, published, plotter.Values{1})) + 0.3
	if err := drawStub(p); err != nil {
		return err
	}
	return p.Save(vg.Points(float64(120+70*len(names))), vg.Points(260), path)
}

// drawStub draws a line at 1, which stands for the CPU of gRPC's stub.
func drawStub(p *plot.Plot) error {
	line, err := plotter.NewLine(plotter.XYs{{X: p.X.Min, Y: 1}, {X: p.X.Max, Y: 1}})
	if err != nil {
		return err
	}
	line.Color = color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff}
	p.Add(line)
	p.Legend.Add("bare stub", line)
	return nil
}
