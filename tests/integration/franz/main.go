// A client of franz-go that does one job and tells in JSON what came of it.
//
//	franz -brokers host:port -topic t produce -codec zstd -count 300
//	franz -brokers host:port -topic t consume -count 300
//	franz -brokers host:port -topic t group -group g -balancer cooperative
//	franz -brokers host:port -topic t admin
//	franz -brokers host:port -topic t transaction
//
// `group` runs three members, of which the first leaves, and reads -count records between them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const deadline = 40 * time.Second

var (
	brokers  = flag.String("brokers", "", "host:port of a broker")
	topic    = flag.String("topic", "", "the topic")
	codec    = flag.String("codec", "none", "codec of produce")
	balancer = flag.String("balancer", "range", "range or cooperative")
	group    = flag.String("group", "", "consumer group")
	count    = flag.Int("count", 0, "records")
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	jobs := map[string]func(context.Context) (any, error){
		"produce":     produce,
		"consume":     consume,
		"group":       balance,
		"admin":       administer,
		"transaction": transact,
	}
	job, known := jobs[flag.Arg(0)]
	if !known {
		fail(fmt.Errorf("no job %q", flag.Arg(0)))
	}
	said, err := job(ctx)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(*brokers)}, options...)...)
}

// The texts of the records, which the test knows as well.
func value(number int) []byte {
	text := ""
	for repeat := 0; repeat <= number%40; repeat++ {
		text += fmt.Sprintf("franz %d ", number)
	}
	return []byte(text)
}

func produce(ctx context.Context) (any, error) {
	cl, err := client(
		kgo.DefaultProduceTopic(*topic),
		kgo.ProducerBatchCompression(codecs[*codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.AllowAutoTopicCreation(),
	)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	records := make([]*kgo.Record, *count)
	for number := range records {
		records[number] = &kgo.Record{
			Key:     []byte(fmt.Sprintf("key-%d", number)),
			Value:   value(number),
			Headers: []kgo.RecordHeader{{Key: "n", Value: []byte{byte(number)}}},
		}
	}
	results := cl.ProduceSync(ctx, records...)
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	return map[string]any{"last_offset": results[len(results)-1].Record.Offset}, nil
}

type record struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Key       []byte `json:"key"`
	Value     []byte `json:"value"`
	Headers   int    `json:"headers"`
}

func consume(ctx context.Context) (any, error) {
	cl, err := client(
		kgo.ConsumeTopics(*topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	found := []record{}
	for len(found) < *count {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("after %d records: %w", len(found), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			found = append(found, record{r.Partition, r.Offset, r.Key, r.Value, len(r.Headers)})
		})
	}
	return found, nil
}

// What the members of a group have, seen from all of them.
type table struct {
	sync.Mutex
	owned map[int]map[int32]bool
	read  map[string]int
}

func (t *table) change(member int, partitions map[string][]int32, owns bool) {
	t.Lock()
	defer t.Unlock()
	for _, of := range partitions {
		for _, partition := range of {
			if owns {
				t.owned[member][partition] = true
			} else {
				delete(t.owned[member], partition)
			}
		}
	}
}

// shared says whether exactly these members own every partition between them.
func (t *table) shared(partitions int, members ...int) bool {
	t.Lock()
	defer t.Unlock()
	all := 0
	for _, member := range members {
		if len(t.owned[member]) == 0 {
			return false
		}
		all += len(t.owned[member])
	}
	return all == partitions
}

func (t *table) done() bool {
	t.Lock()
	defer t.Unlock()
	return len(t.read) >= *count
}

func (t *table) join(ctx context.Context, number int) (*kgo.Client, error) {
	t.owned[number] = map[int32]bool{}
	balancers := map[string]kgo.GroupBalancer{
		"range":       kgo.RangeBalancer(),
		"cooperative": kgo.CooperativeStickyBalancer(),
	}
	changes := func(owns bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, of map[string][]int32) {
			t.change(number, of, owns)
		}
	}
	cl, err := client(
		kgo.ConsumerGroup(*group),
		kgo.ConsumeTopics(*topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(balancers[*balancer]),
		kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.OnPartitionsAssigned(changes(true)),
		kgo.OnPartitionsRevoked(changes(false)),
		kgo.OnPartitionsLost(changes(false)),
		kgo.AutoCommitMarks(),
	)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			fetches := cl.PollFetches(ctx)
			if fetches.IsClientClosed() || ctx.Err() != nil {
				return
			}
			fetches.EachRecord(func(r *kgo.Record) {
				t.Lock()
				t.read[fmt.Sprintf("%d/%d", r.Partition, r.Offset)]++
				t.Unlock()
				cl.MarkCommitRecords(r)
			})
		}
	}()
	return cl, nil
}

func waitFor(ctx context.Context, what string, look func() bool) error {
	for !look() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("in time: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func balance(ctx context.Context) (any, error) {
	cl, err := client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	details, err := admin.ListTopics(ctx, *topic)
	if err != nil {
		return nil, err
	}
	partitions := len(details[*topic].Partitions)
	seen := &table{owned: map[int]map[int32]bool{}, read: map[string]int{}}
	members := []*kgo.Client{}
	numbers := []int{}
	for number := range 3 {
		member, err := seen.join(ctx, number)
		if err != nil {
			return nil, err
		}
		members, numbers = append(members, member), append(numbers, number)
		what := fmt.Sprintf("%d members share %d partitions", number+1, partitions)
		if err := waitFor(ctx, what, func() bool { return seen.shared(partitions, numbers...) }); err != nil {
			return nil, err
		}
	}
	if err := waitFor(ctx, "all is read", seen.done); err != nil {
		return nil, err
	}
	if err := members[0].CommitMarkedOffsets(ctx); err != nil {
		return nil, err
	}
	members[0].Close()
	if err := waitFor(ctx, "two take over", func() bool { return seen.shared(partitions, 1, 2) }); err != nil {
		return nil, err
	}
	// Whoever took a partition over reads again what was not committed when it changed hands.
	var lag kadm.DescribedGroupLags
	committed := func() bool {
		for _, member := range members[1:] {
			if err := member.CommitMarkedOffsets(ctx); err != nil {
				return false
			}
		}
		lag, err = admin.Lag(ctx, *group)
		return err == nil && lag[*group].Lag.Total() == 0
	}
	if err := waitFor(ctx, "everything is committed", committed); err != nil {
		return nil, err
	}
	for _, member := range members[1:] {
		member.Close()
	}
	seen.Lock()
	defer seen.Unlock()
	return map[string]any{"read": len(seen.read), "lag": lag[*group].Lag.Total()}, nil
}

func administer(ctx context.Context) (any, error) {
	cl, err := client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	yes := "compact"
	if _, err := admin.CreateTopic(ctx, 3, 1, map[string]*string{"cleanup.policy": &yes}, *topic); err != nil {
		return nil, err
	}
	_, again := admin.CreateTopic(ctx, 3, 1, nil, *topic)
	added, err := admin.UpdatePartitions(ctx, 5, *topic)
	if err != nil || added.Error() != nil {
		return nil, errors.Join(err, added.Error())
	}
	topics, err := admin.ListTopics(ctx, *topic)
	if err != nil {
		return nil, err
	}
	configs, err := admin.DescribeTopicConfigs(ctx, *topic)
	if err != nil {
		return nil, err
	}
	policy := ""
	for _, config := range configs[0].Configs {
		if config.Key == "cleanup.policy" {
			policy = *config.Value
		}
	}
	ends, err := admin.ListEndOffsets(ctx, *topic)
	if err != nil {
		return nil, err
	}
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return nil, err
	}
	folders := 0
	for _, broker := range dirs {
		if err := broker.Error(); err != nil {
			return nil, err
		}
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == *topic {
				folders++
			}
		})
	}
	partitions := []int{}
	for partition := range topics[*topic].Partitions {
		partitions = append(partitions, int(partition))
	}
	sort.Ints(partitions)
	deleted, err := admin.DeleteTopics(ctx, *topic)
	if err != nil || deleted.Error() != nil {
		return nil, errors.Join(err, deleted.Error())
	}
	return map[string]any{
		"again":      errors.Is(again, kerr.TopicAlreadyExists),
		"partitions": partitions,
		"policy":     policy,
		"ends":       len(ends[*topic]),
		"folders":    folders,
	}, nil
}

func transact(ctx context.Context) (any, error) {
	cl, err := client(kgo.TransactionalID("franz"), kgo.DefaultProduceTopic(*topic))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	if err = cl.BeginTransaction(); err == nil {
		err = cl.ProduceSync(ctx, kgo.StringRecord("never")).FirstErr()
	}
	if err == nil {
		return nil, errors.New("a transactional record was acknowledged")
	}
	var known *kerr.Error
	if !errors.As(err, &known) {
		return nil, err
	}
	return map[string]any{"error": known.Message, "retriable": known.Retriable}, nil
}
