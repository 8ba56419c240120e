// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/ottlfuncs"
	"go.opentelemetry.io/collector/component"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"
)

var sources = map[Source]engine.Source{
	"":             engine.SourceSpan,
	SourceSpan:     engine.SourceSpan,
	SourceResource: engine.SourceResource,
	SourceScope:    engine.SourceScope,
	SourceEvent:    engine.SourceEvent,
	SourceSpanName: engine.SourceSpanName,
}

var kinds = map[Type]engine.Kind{
	"":                       engine.KindGauge,
	TypeGauge:                engine.KindGauge,
	TypeSum:                  engine.KindSum,
	TypeHistogram:            engine.KindHistogram,
	TypeExponentialHistogram: engine.KindExponentialHistogram,
}

var aggregations = map[Aggregation]engine.Aggregation{
	AggregationLast:  engine.AggregationLast,
	AggregationMin:   engine.AggregationMin,
	AggregationMax:   engine.AggregationMax,
	AggregationMean:  engine.AggregationMean,
	AggregationCount: engine.AggregationCount,
}

// definitions compiles the metrics of a valid configuration.
func (c *Config) definitions(set component.TelemetrySettings) ([]engine.Definition, error) {
	var defs []engine.Definition
	var errs error
	for i := range c.Metrics {
		d, err := c.Metrics[i].compile(set)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("metrics[%d].%w", i, err))
		}
		d.SeriesLimit = cmp.Or(c.Metrics[i].SeriesLimit, c.SeriesLimit)
		defs = append(defs, d)
	}
	return defs, errs
}

// compile returns an error only if an OTTL expression does not parse.
func (m *Metric) compile(set component.TelemetrySettings) (engine.Definition, error) {
	d := engine.Definition{
		Name:               m.Name,
		Outputs:            m.outputs(),
		Kind:               kinds[m.Type],
		SpanName:           m.SpanName,
		Source:             sources[m.Source],
		EventName:          m.EventName,
		Attribute:          m.Attribute,
		Length:             m.Length,
		ResourceAttributes: m.ResourceAttributes,
		FlushTimestamp:     m.Timestamp == TimestampFlush,
		Exemplars:          m.Exemplars == nil || *m.Exemplars,
		Delta:              m.Temporality == TemporalityDelta,
		Monotonic:          m.Type == TypeSum && (m.Monotonic == nil || *m.Monotonic),
		Bounds:             m.Buckets,
		MaxSize:            cmp.Or(m.MaxSize, defaultMaxSize),
	}
	if m.EverySpan {
		d.Kind = engine.KindEverySpan
	}
	if d.Bounds == nil {
		d.Bounds = defaultBuckets
	}
	for _, dim := range m.Dimensions {
		dim = dim.resolved()
		d.Dimensions = append(d.Dimensions, engine.Dimension{
			Name: dim.Name, Source: sources[dim.Source], Attribute: dim.Attribute, Default: dim.Default,
		})
	}
	return d, m.compileOTTL(&d, set)
}

func (m *Metric) outputs() []engine.Output {
	var outputs []engine.Output
	names := m.outputNames()
	for i, a := range m.aggregations() {
		o := engine.Output{Name: names[i], Description: m.Description, Unit: m.Unit, Aggregation: aggregations[a]}
		if a == AggregationCount { // a number of spans, whatever the unit of their values
			o.Unit = "{span}"
			if m.Source == SourceEvent {
				o.Unit = "{event}"
			}
		}
		outputs = append(outputs, o)
	}
	return outputs
}

func (m *Metric) compileOTTL(d *engine.Definition, set component.TelemetrySettings) error {
	if len(m.Conditions) == 0 && m.Value == "" {
		return nil
	}
	if d.Source == engine.SourceEvent {
		parser, err := ottlspanevent.NewParser(
			ottlfuncs.StandardConverters[*ottlspanevent.TransformContext](), set,
			ottlspanevent.EnablePathContextNames())
		if err != nil {
			return err
		}
		d.OnEvent, err = parseExpressions(m, &parser, ottlspanevent.ContextName, set)
		return err
	}
	parser, err := ottlspan.NewParser(
		ottlfuncs.StandardConverters[*ottlspan.TransformContext](), set, ottlspan.EnablePathContextNames())
	if err != nil {
		return err
	}
	d.OnSpan, err = parseExpressions(m, &parser, ottlspan.ContextName, set)
	return err
}

// parseExpressions parses the conditions and the value. The context name may be omitted from paths: attributes means
// span.attributes.
func parseExpressions[K any](
	m *Metric, parser *ottl.Parser[K], context string, set component.TelemetrySettings,
) (x engine.Expressions[K], errs error) {
	conditions, err := ottl.NewParserCollection(set, ottl.WithParserCollectionContext(context, parser,
		ottl.WithConditionConverter(
			func(
				_ *ottl.ParserCollection[[]*ottl.Condition[K]], _ ottl.ConditionsGetter, parsed []*ottl.Condition[K],
			) ([]*ottl.Condition[K], error) {
				return parsed, nil
			})))
	if err != nil {
		return x, err
	}
	values, err := ottl.NewParserCollection(set, ottl.WithParserCollectionContext(context, parser,
		ottl.WithValueExpressionConverter(
			func(
				_ *ottl.ParserCollection[[]*ottl.ValueExpression[K]], _ ottl.ValueExpressionsGetter,
				parsed []*ottl.ValueExpression[K],
			) ([]*ottl.ValueExpression[K], error) {
				return parsed, nil
			})))
	if err != nil {
		return x, err
	}
	for i, text := range m.Conditions {
		parsed, err := conditions.ParseConditionsWithContext(context, ottl.NewConditionsGetter([]string{text}), true)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("conditions[%d]: is not a valid OTTL condition: %w", i, err))
			continue
		}
		x.Conditions = append(x.Conditions, parsed...)
	}
	if m.Value != "" {
		getter := ottl.NewValueExpressionsGetter([]string{m.Value})
		parsed, err := values.ParseValueExpressionsWithContext(context, getter, true)
		if err != nil {
			return x, errors.Join(errs, fmt.Errorf("value: is not a valid OTTL expression: %w", err))
		}
		x.Value = parsed[0]
	}
	return x, errs
}
