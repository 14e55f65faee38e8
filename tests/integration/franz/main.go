// Command franz does with franz-go what test_franz_go.py asks, and prints what it saw.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	records  = 500
	deadline = 40 * time.Second
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

var balancers = map[string]kgo.GroupBalancer{
	"range":              kgo.RangeBalancer(),
	"cooperative-sticky": kgo.CooperativeStickyBalancer(),
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: franz ADDRESS codec|group|admin TOPIC [CODEC|BALANCER]")
		os.Exit(2)
	}
	address, what, topic := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var err error
	switch what {
	case "codec":
		err = codec(ctx, address, topic, os.Args[4])
	case "group":
		err = group(ctx, address, topic, os.Args[4])
	case "admin":
		err = admin(ctx, address, topic)
	default:
		err = fmt.Errorf("unknown task %q", what)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func client(address string, options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(address))...)
}

func create(ctx context.Context, address, topic string, partitions int32) (*kadm.Client, error) {
	c, err := client(address)
	if err != nil {
		return nil, err
	}
	a := kadm.NewClient(c)
	_, err = a.CreateTopic(ctx, partitions, 1, nil, topic)
	return a, err
}

// codec produces with one compression, and reads the same records back in order.
func codec(ctx context.Context, address, topic, name string) error {
	a, err := create(ctx, address, topic, 1)
	if err != nil {
		return err
	}
	defer a.Close()
	c, err := client(address, kgo.ProducerBatchCompression(codecs[name]),
		kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	sent := make([]*kgo.Record, records)
	for i := range sent {
		sent[i] = kgo.StringRecord(fmt.Sprintf("value %d of many that look alike", i))
	}
	if err := c.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return err
	}
	came := 0
	for came < records {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		for _, r := range fetches.Records() {
			if string(r.Value) != string(sent[came].Value) {
				return fmt.Errorf("record %d is %q", came, r.Value)
			}
			came++
		}
	}
	fmt.Printf("%d records came back as sent\n", came)
	return nil
}

// group lets a second member join and leave, and prints who owns how much once it is shared.
func group(ctx context.Context, address, topic, balancer string) error {
	a, err := create(ctx, address, topic, 4)
	if err != nil {
		return err
	}
	defer a.Close()
	member := func() (*kgo.Client, error) {
		c, err := client(address, kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic),
			kgo.Balancers(balancers[balancer]), kgo.HeartbeatInterval(200*time.Millisecond))
		if err != nil {
			return nil, err
		}
		go func() {
			for ctx.Err() == nil && !c.PollFetches(ctx).IsClientClosed() {
			}
		}()
		return c, nil
	}
	first, err := member()
	if err != nil {
		return err
	}
	defer first.Close()
	if err := owned(ctx, a, topic, 1); err != nil {
		return err
	}
	fmt.Println("1 member owns 4")
	second, err := member()
	if err != nil {
		return err
	}
	if err := owned(ctx, a, topic, 2); err != nil {
		return err
	}
	fmt.Println("2 members own 4")
	second.Close()
	if err := owned(ctx, a, topic, 1); err != nil {
		return err
	}
	fmt.Println("1 member owns 4")
	return nil
}

// owned waits until the group is stable with so many members that own all partitions once.
func owned(ctx context.Context, a *kadm.Client, group string, members int) error {
	for {
		described, err := a.DescribeGroups(ctx, group)
		if err == nil {
			g := described[group]
			set := g.AssignedPartitions()
			parts := 0
			for _, m := range g.Members {
				if c, ok := m.Assigned.AsConsumer(); ok {
					for _, t := range c.Topics {
						parts += len(t.Partitions)
					}
				}
			}
			if g.State == "Stable" && len(g.Members) == members && parts == 4 &&
				len(set[group]) == 4 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the group did not settle with %d members", members)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func admin(ctx context.Context, address, topic string) error {
	a, err := create(ctx, address, topic, 2)
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Println("created")
	if _, err := a.CreatePartitions(ctx, 1, topic); err != nil {
		return err
	}
	details, err := a.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	fmt.Println("partitions", len(details[topic].Partitions))
	value := "60000"
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}
	if _, err := a.AlterTopicConfigs(ctx, change, topic); err != nil {
		return err
	}
	configs, err := a.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	for _, c := range configs[0].Configs {
		if c.Key == "retention.ms" {
			fmt.Println(c.Key, c.MaybeValue())
		}
	}
	c, err := client(address, kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer c.Close()
	for range 10 {
		if err := c.ProduceSync(ctx, kgo.StringRecord("v")).FirstErr(); err != nil {
			return err
		}
	}
	ends, err := a.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	end, _ := ends.Lookup(topic, 0)
	fmt.Println("end", end.Offset)
	if _, err := a.DeleteTopics(ctx, topic); err != nil {
		return err
	}
	fmt.Println("deleted")
	return nil
}
